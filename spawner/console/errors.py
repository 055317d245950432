"""What the console answers when it does not do what was asked."""

from __future__ import annotations

from phrases import N_

NOT_KNOWN = N_("Please log in first; load the page again if it was open for long.")
NOT_ALLOWED = N_("You may not do this here. If you should, please ask the administrator for permission.")
NOT_UNDERSTOOD = N_("The console could not understand this. Please check what you entered.")
NOT_RECORDED = N_("Nothing was changed: the record of who did what can't be written just now. Please tell whoever runs this hub.")
NO_DATABASE = N_("The hub's database does not answer just now. Nothing was changed. Please try again in a few minutes.")
HUB_REFUSED = N_("The hub did not allow this. If you should, please ask the administrator for permission.")
HUB_HAS_NONE = N_("There is no such person, group or session at the hub any more.")
HUB_SILENT = N_("The hub does not answer just now. Please try again in a few minutes.")
BROKEN = N_("Something went wrong in the console. Please try again; if it stays so, tell whoever runs this hub.")


class ConsoleError(Exception):
    """What was asked is not done; `sentence` (English, of the catalogue) is for the person, the exception's text for the log."""

    def __init__(self, status: int, sentence: str, text: str = "") -> None:
        super().__init__(text or sentence)
        self.status = status
        self.sentence = sentence
