"""The table, the document and the failure of what was measured."""

import json

import pytest

from ansible_collections.gatehouse.webapp.plugins.module_utils._verify import finding, unjudged, unknown
from ansible_collections.gatehouse.webapp.plugins.plugin_utils._verify_report import (
    document,
    failure,
    summary,
    table,
)

LONG = "shop.example.com/api/v1/chat/rooms/0123456789/messages?after=2026-01-01&before=2026-02-01"


def well(link="proxy", what="shop.example.com/health", **more):
    return finding(link, what, "ok", "200", ms=3.21, **more)


def bad(link="outside", what="shop.example.com/health", **more):
    message = "http://192.0.2.1:80/health: it answered 502, not 200"
    more = {"cause": "bad_status", "next": "curl -si http://shop.example.com/health", "ms": 7.0, **more}
    return finding(link, what, "broken", "502", message, **more)


BROKEN = [well(), bad(), bad(what="shop.example.com/two"), unjudged("websocket", "/ws"), unjudged("cors", "/")]


def test_a_row_for_each_measurement_with_host_link_what_result_and_time():
    found = summary([well("port", "shop@8000.service"), well()])
    assert table({"web1": found}) == [
        "    host  link   what                     result      ms",
        "  ✔ web1  port   shop@8000.service        200          3",
        "  ✔ web1  proxy  shop.example.com/health  200          3",
        "",
        "web1: 2 well.",
    ]


def test_the_first_broken_link_stands_out_and_what_lies_behind_it_is_told():
    lines = table({"web1": summary(BROKEN)})
    assert lines[2:] == [
        "  ✘ web1  outside  shop.example.com/health  502          7",
        "      First broken link, stage 5: health from the control node.",
        "      http://192.0.2.1:80/health: it answered 502, not 200",
        "      Next: curl -si http://shop.example.com/health",
        "  ✘ web1  outside  shop.example.com/two     502          7",
        "      http://192.0.2.1:80/health: it answered 502, not 200",
        "      Next: curl -si http://shop.example.com/health",
        "  · web1: not measured behind the broken link: websocket, cors",
        "",
        "web1: 1 well, 2 broken, 2 not measured.",
        "Next: ansible-playbook -i INVENTORY gatehouse.webapp.diagnose   # names the cause",
    ]


def test_all_hosts_are_in_one_table_and_one_that_could_not_be_asked_too():
    lines = table({"web1": summary([well()]), "app-with-a-name-that-is-long.example.com": None})
    assert lines[1].startswith("  ✔ web1                  proxy  ")
    assert lines[2].startswith("  ✘ app-with-a…ample.com  -")
    assert "app-with-a-name-that-is-long.example.com: not reached." in lines
    assert lines[-1].startswith("Next: ansible-playbook")


@pytest.mark.parametrize("what", [LONG, "x"])
def test_lines_fit_a_hundred_columns_but_for_a_command(what):
    checks = [well("certificate", what), bad("agreement", what, next=None), unknown("cors", what, "word " * 60)]
    lines = table({"gatehouse-with-a-long-name.example.com": summary(checks)})
    assert max(len(line) for line in lines if "Next: " not in line) <= 88
    assert max(len(line) for line in lines if line.startswith("      ") and "Next: " not in line) <= 74
    if what == LONG:
        assert "  shop.example.c…ore=2026-02-01  " in lines[1]


def test_what_a_host_says_moves_no_cursor():
    lines = table({"web1": summary([bad(what="a\x1b[2Jb")])})
    assert not any("\x1b" in line for line in lines)


def test_the_document_is_plain_and_complete():
    told = document({"web1": summary(BROKEN), "web2": summary([well()]), "web3": None})
    assert json.loads(json.dumps(told)) == told
    assert (told["schema"], told["ok"]) == (1, False)
    assert told["hosts"]["web3"] is None
    assert (told["hosts"]["web1"]["ok"], told["hosts"]["web1"]["broken"]) == (False, "outside")
    assert (told["hosts"]["web2"]["ok"], told["hosts"]["web2"]["broken"]) == (True, None)
    assert told["hosts"]["web2"]["checks"] == [
        {
            "stage": 4,
            "link": "proxy",
            "state": "ok",
            "site": None,
            "app": None,
            "port": None,
            "what": "shop.example.com/health",
            "result": "200",
            "ms": 3.21,
            "attempts": 1,
            "cause": None,
            "message": "",
            "next": None,
        }
    ]
    assert document({"web2": summary([well()])})["ok"]


def test_a_failure_names_every_broken_link_of_the_stage():
    message = failure(BROKEN)
    assert message.count("Stage 5 of 8, health from the control node failed: ") == 2
    assert "shop.example.com/two: http://192.0.2.1:80/health: it answered 502, not 200\nNext: curl" in message
    assert failure([bad()] * 7).endswith("2 more are broken in this stage: the table has them.")
