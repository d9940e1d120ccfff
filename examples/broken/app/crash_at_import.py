"""Can't be imported: the release check finds it before anything live is touched."""

raise RuntimeError("this module fails when it is imported")
