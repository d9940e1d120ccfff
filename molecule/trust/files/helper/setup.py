"""A dependency whose installation runs code, as pip lets every source package do."""

import os
import subprocess
import sys

from setuptools import setup

subprocess.run([sys.executable, "../attack.py", os.environ["VIRTUAL_ENV"] + "/install.json"], check=True)
setup(name="helper", version="1.0", py_modules=[])
