"""Which certificates keep the role from touching nginx."""

import pytest
from ansible.template import trust_as_template


@pytest.fixture
def fails(value_of, tasks_of):
    """Whether the look at a site's certificate fails, by what the module found."""

    def told(cause, managed):
        task = tasks_of("nginx_proxy", "certificates.yml")[0]
        whole = trust_as_template("{{ (%s) }}" % ") and (".join(task["failed_when"]))
        found = {"cause": cause} if cause else {}
        item = {"name": "chat", "tls": {"managed": managed}}
        host = {"__nginx_proxy_certificates": found, "item": item, "ansible_check_mode": False}
        return value_of("nginx_proxy", "fails", fails=whole, **host)

    return told


@pytest.mark.parametrize("cause", ["expired", "not_yet_valid"])
def test_what_the_role_tls_certificate_is_about_to_replace_is_excused(fails, cause):
    assert fails(cause, managed=True) is False
    assert fails(cause, managed=False) is True


def test_a_certificate_that_nginx_can_not_read_is_not_excused(fails):
    assert fails("unreadable", managed=True) is True
    assert fails(None, managed=False) is False
