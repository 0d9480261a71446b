"""Limits and usage: requests a minute, replies at a time, tokens a day, and attempts to log in."""

from localchat_ui.access.quotas.login_attempts import LoginAttempts
from localchat_ui.access.quotas.quotas import EVERYBODY, Claim, Quota, Quotas
from localchat_ui.access.quotas.rate_limits import RateLimitMiddleware, claim_more

__all__ = ["EVERYBODY", "Claim", "LoginAttempts", "Quota", "Quotas", "RateLimitMiddleware", "claim_more"]
