"""The login page: name and password, or the access token. Plain HTML without scripts or NiceGUI."""

from __future__ import annotations

from hmac import compare_digest
from html import escape
from typing import Annotated

from fastapi import Form, Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse
from nicegui import App
from pydantic import BaseModel

from localchat_ui.access import AccessControl, AccessError
from localchat_ui.access.accounts import CSRF, CSRF_SECONDS, SESSION, cookie_of, csrf_of, safe_redirect_path, set_cookie
from localchat_ui.access.hardening import address_of
from localchat_ui.access.visitor import visitor_of_scope
from localchat_ui.i18n import _, direction_of, language_of_scope, speaking, translated
from localchat_ui.markdown.theme import DARK, LIGHT, SCALE, variables
from localchat_ui.text import N_

# No scripts. With the referrer policy "no-referrer" browsers would send `Origin: null` with the form.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
STYLE = """
* { box-sizing: border-box; }
body { margin: 0; min-height: 100dvh; display: grid; place-items: center; padding: 1.5rem; background: var(--page);
  color: var(--text); font: 400 var(--body)/1.5 var(--font); }
main { width: 100%; max-width: 23rem; background: var(--raised); border: 1px solid var(--line);
  border-radius: 1rem; box-shadow: var(--shadow); padding: 2rem; }
h1 { font-size: var(--large); font-weight: 600; line-height: 1.25; letter-spacing: -0.015em; margin: 0 0 0.4rem; }
label { display: block; font-weight: 500; font-size: var(--small); margin-bottom: 1rem; }
input { display: block; width: 100%; margin-top: 0.35rem; padding: 0.6rem 0.75rem; font: inherit; font-size: 1rem;
  color: var(--text); background: var(--page); border: 1px solid color-mix(in srgb, var(--muted) 55%, var(--line));
  border-radius: 0.6rem; }
input:hover { border-color: var(--muted); }
input:focus { outline: 2px solid var(--accent); outline-offset: -1px; border-color: var(--accent); }
button { width: 100%; margin-top: 0.5rem; padding: 0.7rem; font: 500 1rem/1.4 var(--font); color: var(--on-accent);
  background: var(--accent); border: 0; border-radius: 0.6rem; cursor: pointer; }
button:hover { background: color-mix(in srgb, var(--accent) 88%, var(--text)); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
p { margin: 0 0 1.25rem; font-size: 0.9rem; color: var(--muted); }
[role=alert] { color: var(--danger); background: var(--danger-soft); border-radius: 0.6rem; margin-top: 0.9rem;
  padding: 0.6rem 0.9rem; }
@media (max-width: 28rem) {
  body { padding: 1rem; align-items: start; padding-top: 12dvh; }
  main { padding: 1.5rem; }
}
"""
# The focus goes to the first empty field.
PERSON_FIELDS = """
<label>{name_label} <input name="name" required {name_first} autocomplete="username" autocapitalize="none"
  spellcheck="false" maxlength="200" value="{name}"></label>
<label>{password_label} <input name="password" type="password" required {password_first}
  autocomplete="current-password"></label>"""
VISITOR_FIELDS = """
<label>{token_label} <input name="token" type="password" required autofocus autocomplete="current-password"></label>"""
PERSON_INVITATION = N_("Log in to chat with the models on this machine.")
VISITOR_INVITATION = N_("Enter the access token. It was printed when the program started.")


class LoginForm(BaseModel):
    csrf: str = ""
    next: str = "/"
    name: str = ""
    password: str = ""
    token: str = ""


def register(app: App, access: AccessControl) -> None:
    """The routes /login and /logout."""
    authenticator = access.authenticator

    @app.get("/login", include_in_schema=False)
    async def show(request: Request, next: str = "/") -> Response:  # noqa: A002 - it is in the URL
        visitor = visitor_of_scope(request.scope)
        if visitor and visitor.auth_method != "anonymous":
            return _redirect(request, next)
        return await _page(request, access, next)

    @app.post("/login", include_in_schema=False)
    async def log_in(request: Request, form: Annotated[LoginForm, Form()]) -> Response:
        expected = cookie_of(request.scope, CSRF)
        if not expected or not compare_digest(expected.encode(), form.csrf.encode("utf-8", "surrogatepass")):
            return await _page(
                request, access, form.next, N_("This form has expired. Try again."), status=403, name=form.name
            )
        try:
            if await access.accounts.users.exist():
                found = await authenticator.log_in(form.name, form.password, request.scope)
                cookie = found[1] if found else None
            else:
                cookie = await authenticator.log_in_with_token(form.token, address_of(request.scope))
        except AccessError as error:
            page = await _page(request, access, form.next, error.message, status=error.status, name=form.name)
            page.headers.update(error.headers)
            return page
        if cookie is None:
            wrong = N_("Wrong name or password.") if form.name else N_("Wrong access token.")
            return await _page(request, access, form.next, wrong, status=401, name=form.name)
        response = _redirect(request, form.next)
        set_cookie(response, request.scope, SESSION, cookie, authenticator.session_seconds)
        return response

    @app.post("/logout", include_in_schema=False)
    async def log_out(request: Request) -> Response:
        visitor = visitor_of_scope(request.scope)
        if visitor and visitor.auth_method in ("session", "token"):
            await access.log_out(visitor)
        response = _redirect(request, "/login")
        set_cookie(response, request.scope, SESSION, "", 0)
        return response


async def _page(
    request: Request, access: AccessControl, target: str, alert: str = "", *, status: int = 200, name: str = ""
) -> HTMLResponse:
    csrf = csrf_of(request.scope)
    is_personal = await access.accounts.users.exist()
    language = language_of_scope(request.scope)
    with speaking(language):
        fields, invitation = VISITOR_FIELDS.format(token_label=escape(_("Access token"))), _(VISITOR_INVITATION)
        if is_personal:
            labels = {"name_label": escape(_("Name")), "password_label": escape(_("Password"))}
            first = {"name_first": "" if name else "autofocus", "password_first": "autofocus" if name else ""}
            fields, invitation = PERSON_FIELDS.format(name=escape(name), **labels, **first), _(PERSON_INVITATION)
        said = f'<p role="alert">{escape(translated(alert))}</p>' if alert else f"<p>{escape(invitation)}</p>"
        log_in = escape(_("Log in"))
    head = f'lang="{language}" dir="{direction_of(language)}"'
    body = f"""<!doctype html><html {head}><head><meta charset="utf-8"><title>{log_in} · LocalChat</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><meta name="color-scheme" content="light dark">
<style>{_variables()}{STYLE}</style></head><body><main><h1>LocalChat</h1>{said}
<form method="post" action="{escape(request.scope.get("root_path", ""))}/login">
<input type="hidden" name="csrf" value="{escape(csrf)}"><input type="hidden" name="next" value="{escape(target)}">
{fields}<button type="submit">{log_in}</button></form></main></body></html>"""
    response = HTMLResponse(body, status, HEADERS)
    set_cookie(response, request.scope, CSRF, csrf, CSRF_SECONDS)
    return response


def _redirect(request: Request, target: str) -> RedirectResponse:
    path = request.scope.get("root_path", "") + safe_redirect_path(target)
    return RedirectResponse(path, 303, {"Cache-Control": "no-store"})


def _variables() -> str:
    dark = variables(":root", DARK)
    return f"{variables(':root', LIGHT | SCALE)}@media (prefers-color-scheme: dark) {{ {dark} }}"
