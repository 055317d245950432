"""How people log in: a password that saslauthd checks, with a one-time password where the site asks for one, or OpenID Connect."""

from __future__ import annotations

import asyncio
import unicodedata
from pathlib import Path
from typing import Any

from jupyterhub.auth import Authenticator
from jupyterhub.handlers import BaseHandler
from jupyterhub.utils import maybe_future
from tornado import web
from traitlets import Unicode
from traitlets.config import Config

from phrases import N_
from spawner.audit import Audit, AuditError
from spawner.checker import CheckerDownError, check
from spawner.site import LoginMethod, Oidc, Site, SiteFileError

NAME = r"[a-z][a-z0-9-]{0,30}\Z"
"""What a person may be called; `\\Z`, because `$` would let a line break follow."""

NOT_LISTED = N_("You are known here, but you may not use this hub. Please ask its administrator for permission.")
CHECKER_DOWN = N_("Passwords can't be checked at the moment. Please try again in a few minutes.")
NO_RECORD = N_("Nobody can log in, because the hub can't keep its records. Please tell its administrator.")


class LoginError(web.HTTPError):
    """A login that failed for another reason than a wrong password.

    `sentence` is what the person reads, in English; the page looks it up in the catalogue.
    """

    def __init__(self, status_code: int, sentence: str, log_message: str) -> None:
        super().__init__(status_code, "%s", log_message)
        self.jupyterhub_message = sentence


class _ListedPeople(Authenticator):
    """Tells a person who is known, but not on the site's list, that it is this and not the password."""

    async def check_allowed(self, username: str, authentication: dict[str, Any] | None = None) -> bool:
        """True, or LoginError."""
        if await maybe_future(super().check_allowed(username, authentication)):
            return True
        raise LoginError(403, NOT_LISTED, f"{username} is not among the people of the site file")


class CheckerAuthenticator(_ListedPeople):
    """Asks saslauthd about the password and, where `request_otp` is set, about the one-time password too."""

    checker_socket = Unicode(help="saslauthd's unix socket").tag(config=True)
    pam_service = Unicode(help="the PAM service that checks passwords").tag(config=True)
    otp_pam_service = Unicode(help="the PAM service that checks one-time passwords").tag(config=True)

    def normalize_username(self, username: str) -> str:
        """`username` in lower case, with full-width letters of a Japanese keyboard taken as what they look like."""
        return unicodedata.normalize("NFKC", username).strip().lower()

    async def authenticate(self, handler: BaseHandler, data: dict[str, str]) -> str | None:  # noqa: ARG002  (JupyterHub's)
        """The person's name when everything that was asked for is right, else None.

        Both answers are waited for before either is told, so that nobody learns which of the two was wrong.
        Raises LoginError when the checker can't say.
        """
        name = self.normalize_username(data.get("username", ""))
        if not self.validate_username(name):
            return self._refuse(data)
        questions = [(self.pam_service, data.get("password", ""))]
        if self.request_otp:
            questions.append((self.otp_pam_service, data.get("otp", "").replace(" ", "")))
        try:
            answers = await asyncio.gather(
                *(check(self.checker_socket, login=name, password=secret, service=service) for service, secret in questions)
            )
        except CheckerDownError as error:
            raise LoginError(503, CHECKER_DOWN, f"checker: {error}") from error
        return name if all(answers) else self._refuse(data)

    @staticmethod
    def _refuse(data: dict[str, str]) -> None:
        # The hub's handler names the person in its log line and on the page, and stumbles over a form without a name.
        data.setdefault("username", "")


def configure(c: Config, site: Site) -> None:
    """Set `c` so that people log in as `site` says. Raises SiteFileError when the client secret can't be read."""
    login = site.login
    if site.login.oidc is not None:
        from oauthenticator.generic import GenericOAuthenticator  # only where it is used: slow to import

        c.JupyterHub.authenticator_class = type("OidcAuthenticator", (_ListedPeople, GenericOAuthenticator), {})
        _configure_oidc(c, site.login.oidc)
    elif login.method is LoginMethod.PAM:
        c.JupyterHub.authenticator_class = CheckerAuthenticator
        c.CheckerAuthenticator.checker_socket = login.checker_socket
        c.CheckerAuthenticator.pam_service = login.pam_service
        c.CheckerAuthenticator.otp_pam_service = login.otp_pam_service
        c.CheckerAuthenticator.request_otp = login.otp
    c.Authenticator.username_pattern = NAME
    c.Authenticator.post_auth_hook = _recorder(Audit(site.hub.audit_log), login.method)
    # Who proved to be somebody may come in, unless the site names people; admins are people too.
    c.Authenticator.allow_all = login.people is None
    c.Authenticator.allow_existing_users = False
    c.Authenticator.allowed_users = set() if login.people is None else {*login.people, *login.admins}


def _configure_oidc(c: Config, oidc: Oidc) -> None:
    try:
        secret = Path(oidc.client_secret_file).read_text().strip()
    except OSError as error:
        raise SiteFileError(f"{oidc.client_secret_file}: can't be read: {error.strerror} - at `$.login.oidc`.") from error
    c.GenericOAuthenticator.authorize_url = oidc.authorize_url
    c.GenericOAuthenticator.token_url = oidc.token_url
    c.GenericOAuthenticator.userdata_url = oidc.userinfo_url
    c.GenericOAuthenticator.oauth_callback_url = oidc.callback_url
    c.GenericOAuthenticator.client_id = oidc.client_id
    c.GenericOAuthenticator.client_secret = secret
    c.GenericOAuthenticator.username_claim = oidc.username_claim
    c.GenericOAuthenticator.scope = list(oidc.scope)
    c.GenericOAuthenticator.login_service = oidc.label


def _recorder(audit: Audit, method: LoginMethod) -> Any:  # noqa: ANN401  (a trait takes any callable)
    """The hook after every login that succeeded: nobody gets in whose coming can't be written down."""

    async def record(authenticator: Authenticator, handler: BaseHandler, model: dict[str, Any]) -> dict[str, Any]:
        try:
            address = handler.request.remote_ip
            await asyncio.to_thread(audit.record, "login", user=model["name"], method=method.value, address=address)
        except AuditError as error:
            authenticator.log.error("nobody can log in: %s", error)  # noqa: TRY400  (the sentence says it all)
            raise LoginError(503, NO_RECORD, f"audit: {error}") from error
        return model

    return record
