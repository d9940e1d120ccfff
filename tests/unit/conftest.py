"""Let the tests import the collection by its full name, as Ansible does."""

from pathlib import Path

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder
from hypothesis import settings

ROOT = Path(__file__).resolve().parents[2]

# At once, and not in a hook: the conftest files below import the collection too.
_AnsibleCollectionFinder(paths=[str(ROOT / ".ansible" / "collections")])._install()

# Property tests judge no wall-clock time, and leave nothing behind in the checkout.
settings.register_profile("gatehouse", deadline=None, database=None, max_examples=50)
settings.load_profile("gatehouse")
