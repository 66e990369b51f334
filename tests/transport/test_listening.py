"""`transport/listening.py`: a socket, or one line that says why not."""

from __future__ import annotations

from contextlib import closing

import pytest

from transport.errors import SettingsError
from transport.listening import bind


def test_a_free_port_is_found_and_a_taken_one_is_named_with_the_flag_that_changes_it() -> None:
    with closing(bind("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        with pytest.raises(SettingsError, match=rf"127\.0\.0\.1:{port} .*--metrics-port"):
            bind("127.0.0.1", port, "--metrics-port")


def test_an_address_with_colons_is_ipv6() -> None:
    with closing(bind("::1", 0)) as listening:
        assert listening.getsockname()[0] == "::1"
