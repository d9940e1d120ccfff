"""Let the tests import the collection by its full name, as Ansible does."""

from pathlib import Path

from ansible.utils.collection_loader._collection_finder import _AnsibleCollectionFinder

ROOT = Path(__file__).resolve().parents[2]

# At once, and not in a hook: the conftest files below import the collection too.
_AnsibleCollectionFinder(paths=[str(ROOT / ".ansible" / "collections")])._install()
