"""What axe-core, the usual checker of accessibility, finds on a page, without what is not ours."""

from __future__ import annotations

import time
from typing import Any

from axe_playwright_python.base import AXE_SCRIPT
from driving import settle, until
from playwright.sync_api import Page

NOT_OURS = {
    # The keyboard reaches what scrolls in st.code and st.text, as it does all that scrolls in Chromium and Firefox. For
    # other browsers Streamlit would have to give it a tabindex.
    "scrollable-region-focusable": "[data-testid=stCode] pre, [data-testid=stText]",
    # st.file_uploader names a section and says that it has no meaning. Streamlit would have to leave the role out.
    "presentation-role-conflict": "[data-testid=stFileUploaderDropzone]",
    # st.popover and tooltips are drawn outside the landmarks of the page. Streamlit would have to give them one.
    "region": "#stFloatingOverlayPortal, [data-floating-ui-portal]",
}
"""What Streamlit's own elements violate: the rule, and the elements in which it may be violated."""

# axe asks only pictures that have a role for a name. A canvas without one is unseen by a screen reader.
_CONFIGURE = """
axe.configure({
    rules: [{ id: "canvas-name", selector: "canvas:not([role])", any: ["aria-label", "aria-labelledby"] }],
})
"""
_RUN = """
async ([options, notOurs]) => {
    const { violations } = await axe.run(document, { resultTypes: ["violations"], elementRef: true, ...options })
    return violations.flatMap(({ id, nodes }) => nodes
        .filter(({ element }) => !(id in notOurs && element.closest(notOurs[id])))
        .map(({ html, failureSummary }) => `${id}: ${html.slice(0, 200)}: ${failureSummary.replaceAll(/\\s+/g, " ")}`))
}
"""
_COLORS = {"runOnly": ["color-contrast", "link-in-text-block"]}
_BACKGROUNDS = {"light": "rgb(255, 255, 255)", "dark": "rgb(14, 17, 23)"}  # .streamlit/config.toml
_FADING_SECONDS = 5.0  # after which what axe finds is no color that fades, and no component that is not drawn yet
_BACKGROUND = "getComputedStyle(document.querySelector('[data-testid=stApp]')).backgroundColor"


def faults(page: Page, where: str) -> list[str]:
    """A sentence for each fault of ours that axe finds on a page: in its present color scheme, and in the colors of the
    other one, which it has from then on. `where` says what the page shows.
    """
    if page.evaluate("!window.axe"):
        page.evaluate(f"{AXE_SCRIPT};{_CONFIGURE};null")
    found = _faults(page, {}, where)
    other = "light" if page.evaluate(_BACKGROUND) == _BACKGROUNDS["dark"] else "dark"
    page.emulate_media(color_scheme=other)
    until(page, lambda: page.evaluate(_BACKGROUND) == _BACKGROUNDS[other], f"the {other} page")
    settle(page)
    return found + _faults(page, _COLORS, f"{where}, {other}")


def _faults(page: Page, options: dict[str, Any], where: str) -> list[str]:
    deadline = time.monotonic() + _FADING_SECONDS
    while (found := page.evaluate(_RUN, [options, NOT_OURS])) and time.monotonic() < deadline:
        page.wait_for_timeout(200)
    return [f"{where}: {fault}" for fault in found]
