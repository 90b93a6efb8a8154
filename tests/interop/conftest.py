# SPDX-License-Identifier: Apache-2.0
"""What most interop tests share: the forms and layouts, and a gateway whose device is enabled."""

import pytest

from harness.config import FORMS


@pytest.fixture(params=FORMS, ids=repr)
def form(request):
    """Both forms of configuration, each in both layouts of event types."""
    return request.param


@pytest.fixture(params=FORMS[:2], ids=repr)
def own_form(request):
    """Both forms, each in its own layout."""
    return request.param
