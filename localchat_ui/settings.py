"""The one Settings: command-line flags, environment, `settings.env`, defaults, in this order."""

from __future__ import annotations

import difflib
import ipaddress
import os
import re
from io import StringIO
from pathlib import Path
from typing import Any, Literal

import platformdirs
import psutil
from dotenv.parser import parse_stream
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict, SettingsError

from localchat_ui.conversation import ChatOptions
from localchat_ui.logs import LogFormat
from localchat_ui.text import PlainError

PREFIX = "LOCALCHAT_"
ENV_FILE = "settings.env"
LOOPBACK_NAMES = {"localhost", "[::1]"}
HOST_NAME = re.compile(r"(\*\.)?[a-z0-9_-]+(\.[a-z0-9_-]+)*", re.ASCII)
ORIGIN = re.compile(r"https?://([a-z0-9._-]+|\[[0-9a-f:.]+\])(:\d{1,5})?", re.ASCII)
ROOT_PATH = re.compile(r"(/[A-Za-z0-9._~-]+)+", re.ASCII)
TOKEN = re.compile(r"[A-Za-z0-9._~-]{16,}", re.ASCII)
SHARE = re.compile(r"\d+(\.\d+)?")
OTHER_PROGRAMS = ("ollama", "lmstudio", "huggingface")
ENGINES_EXAMPLE = '[{"name": "box", "url": "http://192.168.1.9:8000/v1", "key": "secret", "models": ["qwen*"]}]'
# A key may be in it, which must not be read over somebody's shoulder, or in a log.
SECRET = ("ENGINES",)
KEY_IN_JSON = re.compile(r'("key"\s*:\s*)"[^"]*"?')
ADAPTER = re.compile(r"(?P<model>[^=]+)=(?P<file>.+?\.gguf)(:(?P<scale>-?\d+(\.\d+)?))?")
AMOUNT = re.compile(r"(?P<number>\d+(\.\d+)?)\s*(?P<unit>%|MB|GB)", re.IGNORECASE)


Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"]


class EngineSettings(BaseModel):
    """A server elsewhere that speaks OpenAI's protocol. `models` are patterns of the names of those to list.

    What servers do not tell can be said here: `context_length` in tokens, 0 is unknown; whether `thinking` can be
    switched off and on, and its `efforts`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$", max_length=40)
    url: str = Field(pattern=r"^https?://[^\s/?#]+(/[^\s?#]*)?$")
    key: str = Field("", repr=False)
    models: list[str] = ["*"]
    context_length: int = Field(0, ge=0)
    thinking: bool = False
    efforts: list[Effort] = []


class Settings(BaseSettings, ChatOptions):
    """Private chat with a language model on this machine.

    Every setting is a flag (--n-ctx 8192), an environment variable (LOCALCHAT_N_CTX=8192) and a line in settings.env.
    """

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_file=ENV_FILE,
        env_file_encoding="utf-8",
        cli_prog_name="python -m localchat_ui",
        cli_kebab_case=True,
        cli_implicit_flags=True,
        cli_exit_on_error=False,
        cli_avoid_json=True,
        extra="forbid",
        frozen=True,
        protected_namespaces=(),
    )

    host: str = Field("127.0.0.1", min_length=1, description="address to listen on")
    port: int = Field(8080, ge=1, le=65535, description="port to listen on")
    open_browser: bool | None = Field(None, description="open a tab at start; empty does so at a terminal")
    models_dir: Path = Field(Path("models"), description="folder with GGUF files, searched recursively")
    other_models: str = Field(
        ",".join(OTHER_PROGRAMS), description="programs whose models are used too, where they are: these, or none"
    )
    data_dir: Path = Field(
        default_factory=lambda: platformdirs.user_data_path("localchat_ui", appauthor=False),
        description="folder of the database and caches",
    )
    database_url: str = Field("", description="any SQLAlchemy URL; empty is SQLite in DATA_DIR")
    model: str = Field("", description="file name or path to load at start; empty is the one used last")
    model_repo: str = Field(
        "Qwen/Qwen2.5-0.5B-Instruct-GGUF", description="repository a first run without any model downloads from"
    )
    model_file: str = Field("qwen2.5-0.5b-instruct-q4_k_m.gguf", description="file it downloads from there")
    hub_token: str = Field("", repr=False, description="token for gated or private repositories; empty is HF_TOKEN")
    allow_private_downloads: bool = Field(False, description="let models be downloaded from private networks too")
    chat_template: Path | None = Field(
        None, description="Jinja file in place of the models' own templates; NAME.jinja beside NAME.gguf goes first"
    )
    adapters: str = Field("", description="LoRA files in MODELS_DIR for models, with a scale: MODEL=FILE.gguf:0.8, …")
    n_ctx: int = Field(4096, ge=0, description="context of one conversation, in tokens; 0 is the model's own")
    n_threads: int | None = Field(None, ge=1, description="threads that generate; empty is one for each physical core")
    n_gpu_layers: int | None = Field(None, ge=-1, description="layers on the GPU; -1 all, empty lets llama.cpp choose")
    engines: str = Field("", repr=False, description=f"servers that speak OpenAI's protocol: {ENGINES_EXAMPLE}")
    main_gpu: int | None = Field(None, ge=0, description="the one GPU to use; empty uses all")
    tensor_split: str = Field("", description="share of each GPU, with commas: 3,1; empty lets llama.cpp choose")
    use_mmap: bool | None = Field(None, description="map the model file into memory; empty lets llama.cpp choose")
    use_mlock: bool = Field(False, description="keep the model from being swapped out")
    kv_type: Literal["f16", "q8_0"] = Field("f16", description="numbers in the KV cache; q8_0 takes half the memory")
    flash_attention: bool | None = Field(
        None, description="true, false, or auto (the default): tried once for each model; a q8_0 cache needs it"
    )
    n_batch: int = Field(512, ge=16, le=8192, description="most tokens in one step of llama.cpp")
    parallel: int = Field(4, ge=1, le=64, description="conversations that generate at the same time; more wait")
    kv_cache_disk: str = Field("0", description="room on disk for conversations read before: 5GB; 0 keeps none")
    model_memory: str = Field("50%", description="budget for models kept warm: a share of all memory, or 8GB")
    model_idle_minutes: float = Field(0, ge=0, le=100_000, description="unload a model after so long unused; 0 never")
    auto_titles: bool | None = Field(
        None, description="idle models name new chats; empty is on for models here, true also for servers elsewhere"
    )
    access_token: str = Field("", repr=False, description="token that lets people in; empty makes one when needed")
    allowed_hosts: str = Field("", description="more names this program answers to, with commas: chat.example.org")
    cors_origins: str = Field("", description="web pages elsewhere that may use the API: https://app.example.org")
    trusted_proxies: str = Field("", description="addresses or networks whose X-Forwarded headers are believed")
    root_path: str = Field("", description="prefix a proxy takes away, such as /chat")
    ssl_certfile: Path | None = Field(None, description="certificate for https; needs SSL_KEYFILE too")
    ssl_keyfile: Path | None = Field(None, description="private key of the certificate")
    max_body_mb: float = Field(64, gt=0, le=10_000, description="largest request, upload or import, in megabytes")
    requests_per_minute: int | None = Field(
        None, ge=0, description="of one person, key or address; 0 any number, empty is 300, or any while all is open"
    )
    generations_per_user: int | None = Field(
        None, ge=0, description="replies one person has written at a time; empty is 2, or fewer than PARALLEL; as above"
    )
    tokens_per_day: int = Field(0, ge=0, description="tokens one person may have read and written a day; 0 any number")
    session_days: float = Field(30, gt=0, le=3650, description="days until a login ends")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="how much to log")
    log_format: LogFormat = Field("text", description="text for people, json for programs that collect logs")

    @model_validator(mode="before")
    @classmethod
    def _empty_is_the_default(cls, values: dict[str, Any]) -> dict[str, Any]:
        """`LOCALCHAT_PORT=` leaves the default, but an empty system prompt is one: none."""
        return {name: value for name, value in values.items() if value != "" or name == "system_prompt"}

    @field_validator("n_ctx")
    @classmethod
    def _usable_context(cls, value: int) -> int:
        if 0 < value < 256:
            raise ValueError("use 0 or at least 256")
        return value

    @field_validator("other_models")
    @classmethod
    def _programs(cls, value: str) -> str:
        if value.strip().lower() != "none" and not {*_items(value.lower())} <= {*OTHER_PROGRAMS}:
            raise ValueError(f"use none, or some of {', '.join(OTHER_PROGRAMS)}, with commas")
        return value.lower()

    @field_validator("chat_template")
    @classmethod
    def _readable(cls, value: Path | None) -> Path | None:
        if value is not None and not value.is_file():
            raise ValueError("there is no such file")
        return value

    @field_validator("tensor_split")
    @classmethod
    def _shares(cls, value: str) -> str:
        if not all(SHARE.fullmatch(share) for share in _items(value)):
            raise ValueError("use shares such as 3,1 or 0.7,0.3")
        return value

    @field_validator("model_memory")
    @classmethod
    def _amount_of_memory(cls, value: str) -> str:
        if not AMOUNT.fullmatch(value):
            raise ValueError("use a share such as 50%, or a size such as 8GB or 500MB")
        return value

    @field_validator("access_token")
    @classmethod
    def _hard_to_guess(cls, value: str) -> str:
        if value and not TOKEN.fullmatch(value):
            raise ValueError("use at least 16 letters, digits or . _ ~ -")
        return value

    @field_validator("allowed_hosts")
    @classmethod
    def _names(cls, value: str) -> str:
        for name in _items(value):
            if not HOST_NAME.fullmatch(name.lower()) and not _is_ip(name):
                raise ValueError("use names such as chat.example.org or *.example.org, without port, with commas")
        return value

    @field_validator("cors_origins")
    @classmethod
    def _origins(cls, value: str) -> str:
        if not all(ORIGIN.fullmatch(origin.lower()) for origin in _items(value)):
            raise ValueError("use origins such as https://app.example.org, without path, with commas")
        return value

    @field_validator("trusted_proxies")
    @classmethod
    def _networks(cls, value: str) -> str:
        for network in _items(value):
            try:
                ipaddress.ip_network(network)
            except ValueError:
                raise ValueError("use addresses or networks such as 10.0.0.5, 192.168.1.0/24, with commas") from None
        return value

    @field_validator("root_path")
    @classmethod
    def _prefix(cls, value: str) -> str:
        if value and not ROOT_PATH.fullmatch(value):
            raise ValueError("use a path such as /chat, without a slash at the end")
        return value

    @property
    def listens_on_loopback(self) -> bool:
        """Whether only this machine can connect."""
        return self.host.lower() in LOOPBACK_NAMES or (
            _is_ip(self.host) and ipaddress.ip_address(self.host).is_loopback
        )

    @property
    def allowed_host_names(self) -> list[str]:
        return [f"[{name}]" if ":" in name else name for name in _items(self.allowed_hosts.lower())]

    @property
    def cors_origin_list(self) -> list[str]:
        return _items(self.cors_origins.lower())

    @property
    def trusted_proxy_list(self) -> list[str]:
        return _items(self.trusted_proxies)

    @field_validator("engines")
    @classmethod
    def _servers(cls, value: str) -> str:
        try:
            engines = ENGINES.validate_json(value or "[]")
        except ValidationError as error:
            first = error.errors(include_input=False, include_url=False)[0]
            place = ".".join(map(str, first["loc"]))
            raise ValueError(f"use a list such as {ENGINES_EXAMPLE}; {place and place + ': '}{first['msg']}") from None
        names = [engine.name for engine in engines]
        if len(set(names)) < len(names):
            raise ValueError("each needs a name of its own")
        return value

    @field_validator("adapters")
    @classmethod
    def _adapters(cls, value: str) -> str:
        if not all(ADAPTER.fullmatch(each) for each in _items(value)):
            raise ValueError("use MODEL=FILE.gguf or MODEL=FILE.gguf:0.8, several with commas")
        return value

    @property
    def adapter_list(self) -> list[tuple[Path, str, float]]:
        """Files with the names of their models and their scales."""
        found = [ADAPTER.fullmatch(each) for each in _items(self.adapters)]
        return [(self.models_dir / each["file"], each["model"], float(each["scale"] or 1)) for each in found if each]

    @property
    def engine_list(self) -> list[EngineSettings]:
        return ENGINES.validate_json(self.engines or "[]")

    @field_validator("flash_attention", mode="before")
    @classmethod
    def _tried(cls, value: object) -> object:
        return None if isinstance(value, str) and value.lower() == "auto" else value

    @field_validator("kv_cache_disk")
    @classmethod
    def _amount_of_disk(cls, value: str) -> str:
        return value if value == "0" else cls._amount_of_memory(value)

    @property
    def kv_cache_disk_bytes(self) -> int:
        return 0 if self.kv_cache_disk == "0" else _bytes(self.kv_cache_disk)

    @property
    def other_programs(self) -> tuple[str, ...]:
        """Those whose models are used too."""
        return tuple(name for name in OTHER_PROGRAMS if name in _items(self.other_models))

    @property
    def tensor_shares(self) -> tuple[float, ...]:
        return tuple(float(share) for share in _items(self.tensor_split))

    @property
    def model_memory_bytes(self) -> int:
        return _bytes(self.model_memory)

    @property
    def resolved_database_url(self) -> str:
        return self.database_url or f"sqlite+aiosqlite:///{self.data_dir / 'localchat.sqlite3'}"

    def chat_options(self) -> ChatOptions:
        """What a new conversation starts with; what was set stands out by its `model_fields_set`."""
        chosen = self.model_fields_set & ChatOptions.model_fields.keys()
        return ChatOptions.model_validate(self.model_dump(include=chosen))


def _bytes(amount: str) -> int:
    match = AMOUNT.fullmatch(amount)
    assert match is not None
    unit = {"%": psutil.virtual_memory().total / 100, "MB": 10**6, "GB": 10**9}[match["unit"].upper()]
    return int(float(match["number"]) * unit)


def _items(text: str) -> list[str]:
    return [item.strip() for item in text.split(",") if item.strip()]


def _is_ip(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    return _is_ip(host.strip("[]")) and ipaddress.ip_address(host.strip("[]")).is_loopback


ENGINES = TypeAdapter(list[EngineSettings])


class BadSettingError(PlainError):
    """One line that names the setting, the value and what is allowed."""


def load_settings(arguments: list[str] | None = None) -> Settings:
    """Read the settings; raises BadSettingError for an unknown name or a bad value."""
    _refuse_unknown_environment()
    _refuse_lines_without_effect()
    try:
        return Settings(_cli_parse_args=arguments if arguments is not None else False)
    except ValidationError as error:
        raise BadSettingError("; ".join(_explain(dict(item)) for item in error.errors())) from None
    except SettingsError as error:
        raise BadSettingError(_explain_flag(str(error))) from None


def _refuse_unknown_environment() -> None:
    for name in os.environ:
        setting = name.upper().removeprefix(PREFIX)
        if name.upper().startswith(PREFIX) and setting.lower() not in Settings.model_fields:
            raise BadSettingError(f"{name} is not a setting{_did_you_mean(setting)}")


def _refuse_lines_without_effect() -> None:
    """Lines of settings.env that would be passed over without a word: `PORT=9000`, `LOCALCHAT_PORT 9000`."""
    if not Path(ENV_FILE).is_file():
        return
    try:
        lines = list(parse_stream(StringIO(Path(ENV_FILE).read_text(encoding="utf-8"))))
    except UnicodeDecodeError as error:
        raise BadSettingError(f"{ENV_FILE} is not a UTF-8 text file: {error.reason}") from error
    for line in lines:
        if line.error or (line.key and line.value is None):
            said = KEY_IN_JSON.sub(r'\1"…"', line.original.string.strip())
            raise BadSettingError(
                f"{ENV_FILE}, line {line.original.line}: {said!r} is not of the form {PREFIX}NAME=value"
            )
        if line.key and not line.key.upper().startswith(PREFIX):
            if line.key.lower() in Settings.model_fields:
                raise BadSettingError(f"{line.key} in {ENV_FILE} needs its prefix: {PREFIX}{line.key}")
            raise BadSettingError(f"{line.key} is not a setting{_did_you_mean(line.key)}")


def _explain(error: dict[str, Any]) -> str:
    name = "_".join(str(part) for part in error["loc"]).upper().replace("-", "_")
    if error["type"] == "extra_forbidden":
        return f"{name} is not a setting{_did_you_mean(name.removeprefix(PREFIX))}"
    reason = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input ")
    value = "…" if name.removeprefix(PREFIX) in SECRET else repr(error["input"])
    return f"{name}={value} is not allowed: {reason}"


def _explain_flag(message: str) -> str:
    reason = KEY_IN_JSON.sub(r'\1"…"', message.removeprefix("error parsing CLI: "))
    flag = next((word for word in reason.split() if word.startswith("--")), "")
    unknown = reason.startswith("unrecognized arguments")
    return reason + (_did_you_mean(flag.lstrip("-").replace("-", "_"), as_flag=True) if unknown else "")


def _did_you_mean(name: str, as_flag: bool = False) -> str:
    close = difflib.get_close_matches(name.lower(), Settings.model_fields, n=1)
    if not close:
        return "; --help lists all of them" if as_flag else "; see settings.env.example"
    return f"; did you mean {'--' + close[0].replace('_', '-') if as_flag else close[0].upper()}?"
