"""The test bed: tools, engine, images and hosts for bin/demo, bin/test and bin/bench.

Standard library only and Python 3.9 syntax, because it runs before any tool is installed.
"""
