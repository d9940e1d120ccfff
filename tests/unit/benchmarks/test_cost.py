"""How the proxy benchmark reads what a process has cost."""

import _cost
import pytest

REST = "S 1 731 731 0 -1 4194624 3020 0 11 0 {user} {system} 0 0 20 0 8 0 2540 1285 0"


@pytest.mark.parametrize("name", ["nginx", "nginx: worker", "a) 1 2 (b"])
def test_a_process_is_charged_for_itself_and_the_kernel(name):
    assert _cost.ticks(f"731 ({name}) " + REST.format(user=250, system=75)) == 325
