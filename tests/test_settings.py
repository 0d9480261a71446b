from __future__ import annotations

import os
import re
from pathlib import Path

import psutil
import pytest

from localchat_ui.conversation import ChatOptions
from localchat_ui.settings import BadSettingError, Settings, load_settings

EXAMPLE = Path(__file__).parent.parent / "settings.env.example"
DEFAULTS = {name: field.get_default(call_default_factory=True) for name, field in Settings.model_fields.items()}
SETTING_LINE = re.compile(r"^#?\s*LOCALCHAT_(?P<name>\w+)=(?P<value>.*)$", re.MULTILINE)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working directory and an environment in which nothing is set."""
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.upper().startswith("LOCALCHAT_"):
            monkeypatch.delenv(name)
    return tmp_path


def test_without_anything_the_documented_defaults_hold():
    settings = load_settings([])
    assert (settings.host, settings.port, settings.open_browser) == ("127.0.0.1", 8080, None)
    assert (settings.models_dir, settings.model, settings.database_url) == (Path("models"), "", "")
    assert (settings.n_ctx, settings.parallel, settings.n_threads, settings.n_gpu_layers) == (4096, 4, None, None)
    assert (settings.temperature, settings.top_p, settings.top_k, settings.min_p) == (0.7, 0.95, 40, 0.05)
    assert (settings.repeat_penalty, settings.max_tokens, settings.seed) == (1.0, 512, None)
    assert settings.log_level == "info"


def test_flags_win_over_environment_over_file_over_defaults(folder: Path, monkeypatch: pytest.MonkeyPatch):
    write_file(folder, PORT="1001", TOP_K="1", MAX_TOKENS="11")
    monkeypatch.setenv("LOCALCHAT_PORT", "1002")
    monkeypatch.setenv("LOCALCHAT_TOP_K", "2")
    settings = load_settings(["--port", "1003"])
    assert (settings.port, settings.top_k, settings.max_tokens, settings.parallel) == (1003, 2, 11, 4)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_a_flag_a_variable_and_a_line_of_the_file(
    name: str, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    others = {
        "open_browser": "true",
        "log_level": "debug",
        "log_format": "json",
        "n_ctx": "300",
        "n_batch": "16",
        "model_memory": "1GB",
        "use_mmap": "false",
        "use_mlock": "true",
        "kv_type": "q8_0",
        "kv_cache_disk": "1GB",
        "other_models": "ollama",
        "adapters": "base=style.gguf:0.8",
        "engines": '[{"name": "box", "url": "http://127.0.0.1:8000/v1"}]',
    }
    others |= {"access_token": "0123456789abcdef", "cors_origins": "https://a.example", "root_path": "/chat"}
    others |= {"trusted_proxies": "10.0.0.1, 10.1.0.0/16", "reasoning_effort": "low", "chat_template": __file__}
    text = others.get(name, "1" if name != "repeat_penalty" else "2")
    flag = f"--{name.replace('_', '-')}"
    by_flag = load_settings([flag] if Settings.model_fields[name].annotation is bool else [flag, text])
    write_file(folder, **{name.upper(): text})
    by_file = load_settings([])
    write_file(folder)
    monkeypatch.setenv(f"LOCALCHAT_{name.upper()}", text)
    by_variable = load_settings([])
    assert by_flag == by_file == by_variable
    assert [key for key, value in by_flag if value != DEFAULTS[key]] == [name]


def test_an_empty_value_is_as_good_as_none(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCALCHAT_PORT", "")
    write_file(folder, N_THREADS="", SEED="")
    assert dict(load_settings([])) == DEFAULTS


@pytest.mark.parametrize("way", ["flag", "file", "variable"])
def test_an_empty_system_prompt_is_a_choice_not_a_default(way: str, folder: Path, monkeypatch: pytest.MonkeyPatch):
    if way == "file":
        write_file(folder, SYSTEM_PROMPT="")
    if way == "variable":
        monkeypatch.setenv("LOCALCHAT_SYSTEM_PROMPT", "")
    assert load_settings(["--system-prompt", ""] if way == "flag" else []).system_prompt == ""


def test_text_is_taken_as_it_is_and_never_read_as_json():
    prompt = '{"a": 1}, [2], café'
    assert load_settings(["--system-prompt", prompt]).system_prompt == prompt


def test_a_quoted_value_in_the_file_may_have_several_lines(folder: Path):
    write_file(folder, SYSTEM_PROMPT='"Grüße:\nbe brief."')
    assert load_settings([]).system_prompt == "Grüße:\nbe brief."


# One line each, with the name, the value and what is allowed.
BAD_VALUES = [
    ("PORT", "abc", "should be a valid integer"),
    ("PORT", "0", "greater than or equal to 1"),
    ("PORT", "65536", "less than or equal to 65535"),
    ("OPEN_BROWSER", "maybe", "should be a valid boolean"),
    ("N_CTX", "100", "use 0 or at least 256"),
    ("N_CTX", "-1", "greater than or equal to 0"),
    ("N_THREADS", "0", "greater than or equal to 1"),
    ("CHAT_TEMPLATE", "no.jinja", "there is no such file"),
    ("REASONING_EFFORT", "much", "'none', 'minimal', 'low'"),
    ("THINKING_BUDGET", "-1", "greater than or equal to 0"),
    ("N_GPU_LAYERS", "-2", "greater than or equal to -1"),
    ("N_BATCH", "8", "greater than or equal to 16"),
    ("PARALLEL", "65", "less than or equal to 64"),
    ("MODEL_MEMORY", "lots", "use a share such as 50%, or a size such as 8GB or 500MB"),
    ("TEMPERATURE", "2.5", "less than or equal to 2"),
    ("TEMPERATURE", "nan", "less than or equal to 2"),
    ("TEMPERATURE", "0,7", "should be a valid number"),
    ("TOP_P", "0", "greater than 0"),
    ("TOP_K", "1.5", "should be a valid integer"),
    ("MIN_P", "-0.1", "greater than or equal to 0"),
    ("REPEAT_PENALTY", "0.4", "greater than or equal to 0.5"),
    ("MAX_TOKENS", "0", "greater than or equal to 1"),
    ("SEED", "4294967295", "less than or equal to 4294967294"),
    ("ACCESS_TOKEN", "secret", "at least 16 letters, digits or . _ ~ -"),
    ("ALLOWED_HOSTS", "*", "names such as chat.example.org"),
    ("ALLOWED_HOSTS", "a.example:80", "without port"),
    ("CORS_ORIGINS", "*", "origins such as https://app.example.org"),
    ("CORS_ORIGINS", "https://a.example/", "without path"),
    ("TRUSTED_PROXIES", "proxy.example", "addresses or networks"),
    ("TRUSTED_PROXIES", "*", "addresses or networks"),
    ("ROOT_PATH", "chat/", "a path such as /chat"),
    ("MAX_BODY_MB", "0", "greater than 0"),
    ("REQUESTS_PER_MINUTE", "-1", "greater than or equal to 0"),
    ("SESSION_DAYS", "0", "greater than 0"),
    ("LOG_LEVEL", "loud", "should be 'debug', 'info', 'warning' or 'error'"),
]


@pytest.mark.parametrize(("name", "value", "allowed"), BAD_VALUES)
def test_a_bad_value_is_one_line_with_name_value_and_what_is_allowed(
    name: str, value: str, allowed: str, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    by_flag = error_of(f"--{name.lower().replace('_', '-')}={value}")
    write_file(folder, **{name: value})
    by_file = error_of()
    write_file(folder)
    monkeypatch.setenv(f"LOCALCHAT_{name}", value)
    by_variable = error_of()
    assert by_flag == by_file == by_variable
    assert by_flag.startswith(f"{name}='{value}' is not allowed: ")
    assert allowed in by_flag


def test_several_bad_values_are_all_told_at_once(folder: Path):
    write_file(folder, PORT="x", TOP_K="-1")
    line = error_of()
    assert "PORT='x' is not allowed" in line
    assert "TOP_K='-1' is not allowed" in line


def test_a_value_with_line_breaks_is_still_told_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("LOCALCHAT_PORT", "80\n80")
    assert error_of().startswith(r"PORT='80\n80' is not allowed")


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("LOCALCHAT_PROT", "did you mean PORT?"),
        ("LOCALCHAT_TEMPRATURE", "did you mean TEMPERATURE?"),
        ("LOCALCHAT_CONTEXT_WINDOW", "see settings.env.example"),
        ("localchat_prot", "did you mean PORT?"),
    ],
)
def test_an_unknown_variable_stops_the_start_with_a_hint(name: str, hint: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(name, "1")
    assert error_of() == f"{name} is not a setting; {hint}"


def test_variables_of_other_programs_are_none_of_ours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PORT", "1")
    monkeypatch.setenv("TEMPERATURE", "hot")
    assert dict(load_settings([])) == DEFAULTS


@pytest.mark.parametrize(
    ("line", "error"),
    [
        ("LOCALCHAT_PROT=1", "LOCALCHAT_PROT is not a setting; did you mean PORT?"),
        ("XYZZY=1", "XYZZY is not a setting; see settings.env.example"),
        ("LOCALCHAT_PORT", "settings.env, line 2: 'LOCALCHAT_PORT' is not of the form LOCALCHAT_NAME=value"),
        ("LOCALCHAT_PORT 80", "settings.env, line 2: 'LOCALCHAT_PORT 80' is not of the form LOCALCHAT_NAME=value"),
        ("what is this", "settings.env, line 2: 'what is this' is not of the form LOCALCHAT_NAME=value"),
    ],
)
def test_an_unknown_name_in_the_file_stops_the_start_with_a_hint(line: str, error: str, folder: Path):
    (folder / "settings.env").write_text(f"# mine\n{line}\n")
    assert error_of() == error


def test_an_unknown_flag_stops_the_start_with_a_hint():
    assert error_of("--tempreature") == "unrecognized arguments: --tempreature; did you mean --temperature?"
    assert error_of("--prot", "9000").endswith("did you mean --port?")
    assert error_of("--n_ctx", "512").endswith("did you mean --n-ctx?")
    assert error_of("--xyzzy") == "unrecognized arguments: --xyzzy; --help lists all of them"


def test_a_flag_is_never_guessed_from_its_beginning():
    assert "unrecognized arguments: --por" in error_of("--por", "1000")


def test_a_flag_without_its_value_says_so():
    assert error_of("--port") == "argument --port: expected one argument"


def test_help_explains_every_setting(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "500")
    with pytest.raises(SystemExit) as leaving:
        load_settings(["--help"])
    assert leaving.value.code == 0
    text = capsys.readouterr().out
    assert "python -m localchat_ui" in text
    for name, field in Settings.model_fields.items():
        assert f"--{name.replace('_', '-')} " in text
        assert field.description
        assert field.description in text


def test_database_is_a_file_in_the_data_folder_unless_another_is_named():
    assert load_settings(["--data-dir", "/d"]).resolved_database_url == "sqlite+aiosqlite:////d/localchat.sqlite3"
    url = "postgresql+asyncpg://host/chat"
    assert load_settings(["--data-dir", "/d", "--database-url", url]).resolved_database_url == url


@pytest.mark.parametrize(("text", "size"), [("8GB", 8 * 10**9), ("1.5 gb", 1.5 * 10**9), ("500MB", 500 * 10**6)])
def test_memory_is_a_size_in_powers_of_1000(text: str, size: float):
    assert load_settings(["--model-memory", text]).model_memory_bytes == size


def test_memory_is_a_share_of_what_the_machine_has():
    half, quarter = (load_settings(["--model-memory", text]).model_memory_bytes for text in ("50%", "25 %"))
    assert half == pytest.approx(psutil.virtual_memory().total / 2)
    assert quarter == pytest.approx(half / 2)


def test_a_new_conversation_starts_with_the_settings():
    settings = load_settings(["--temperature", "0.1", "--seed", "7", "--system-prompt", "Be brief."])
    assert settings.chat_options() == ChatOptions(temperature=0.1, seed=7, system_prompt="Be brief.")


def test_the_example_file_names_every_setting_once():
    named = [line["name"].lower() for line in SETTING_LINE.finditer(EXAMPLE.read_text(encoding="utf-8"))]
    assert sorted(named) == sorted(Settings.model_fields)


def test_the_example_file_with_all_lines_active_changes_nothing(folder: Path):
    active = SETTING_LINE.sub(r"LOCALCHAT_\g<name>=\g<value>", EXAMPLE.read_text(encoding="utf-8"))
    (folder / "settings.env").write_text(active, encoding="utf-8")
    assert dict(load_settings([])) == DEFAULTS


def test_the_example_file_as_it_is_sets_nothing(folder: Path):
    (folder / "settings.env").write_bytes(EXAMPLE.read_bytes())
    assert not load_settings([]).model_fields_set


def write_file(folder: Path, **values: str) -> None:
    lines = [f"LOCALCHAT_{name}={value}\n" for name, value in values.items()]
    (folder / "settings.env").write_text("".join(lines), encoding="utf-8")


def error_of(*flags: str) -> str:
    """The one line with which the start ends."""
    with pytest.raises(BadSettingError) as caught:
        load_settings(list(flags))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("way", ["value", "flag", "line"])
def test_a_key_is_in_no_complaint(way: str, folder: Path):
    engines = '[{"name": "box", "url": "ftp://x", "key": "secret-of-mine"}]'
    if way == "line":
        (folder / "settings.env").write_text(f"LOCALCHAT_ENGINES {engines}\n")
    said = error_of() if way == "line" else error_of(f"--engine{'s' if way == 'value' else ''}", engines)
    assert "secret-of-mine" not in said
    assert "engine" in said.lower()


def test_engines_are_what_is_given(folder: Path):
    write_file(folder, ENGINES='[{"name": "box", "url": "http://10.0.0.1/v1", "models": ["qwen*"]}]')
    [engine] = load_settings([]).engine_list
    assert (engine.name, engine.url, engine.models, engine.context_length) == (
        "box",
        "http://10.0.0.1/v1",
        ["qwen*"],
        0,
    )
    two = '[{"name": "box", "url": "http://a"}, {"name": "box", "url": "http://b"}]'
    assert "each needs a name of its own" in error_of("--engines", two)
