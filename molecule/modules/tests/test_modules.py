"""The targets assert for themselves, in converge; this sees that they came to their end."""


def test_every_target_passed(host):
    assert host.file("/root/targets-passed").content_string == "yes"
