"""Families of models: chat templates in their syntax, cut down to what matters, and what their models write."""

# ruff: noqa: E501
from __future__ import annotations

from dataclasses import dataclass

WEATHER = '{"city": "Zürich"}'
THINKS = "{%- if m.reasoning_content %}<think>\n{{ m.reasoning_content }}\n</think>\n\n{% endif %}"
ALTERNATE = """{%- set ns = namespace(n=0) %}{%- for m in messages %}
{%- if m.role == 'user' or (m.role == 'assistant' and not m.tool_calls) %}
{%- if (m.role == 'user') != (ns.n % 2 == 0) %}{{ raise_exception('roles must alternate') }}{% endif %}
{%- set ns.n = ns.n + 1 %}{%- endif %}{%- endfor %}"""
NINE = "{%- if call.id | length != 9 %}{{ raise_exception('ids have nine characters') }}{% endif %}"
ONE_ONLY = "{%- if m.tool_calls | length > 1 %}{{ raise_exception('one call at a time') }}{% endif %}"
NO_SYSTEM = "{%- for m in messages if m.role == 'system' %}{{ raise_exception('no system role') }}{% endfor %}"
SYSTEM_FIRST = """{%- for m in messages if m.role == 'system' and not loop.first %}
{{- raise_exception('system must come first') }}{% endfor %}"""


@dataclass(frozen=True)
class Family:
    """`one` and `two` calls as the model writes them: weather(city="Zürich"), and time() behind it."""

    name: str
    template: str
    one: str
    two: str
    thinking: str = ""
    end: str = ""

    def __str__(self) -> str:
        return self.name


def template(
    calls: str,
    *,
    turn: tuple[str, str] = ("<|im_start|>ROLE\n", "<|im_end|>\n"),
    tools: str = "{{ tools | tojson }}",
    result: str = "",
    assistant: str = "assistant",
    before: str = "",
    opened: str = "",
) -> str:
    """A template of turns, each between a beginning and an end."""
    begin, end = turn
    of_assistant = begin.replace("ROLE", assistant)
    of_tool = begin.replace("ROLE", "tool") + "{{ m.content }}" + end
    return (
        f"{before}{{%- if tools %}}{{{{- {begin.replace('ROLE', 'system')!r} }}}}{tools}{{{{- {end!r} }}}}{{% endif %}}"
        "{%- for m in messages %}"
        f"{{%- if m.role == 'tool' %}}{{{{- '' }}}}{result or of_tool}{{{{- '' }}}}"
        f"{{%- elif m.tool_calls %}}{{{{- {of_assistant!r} }}}}{THINKS}{{{{- m.content or '' }}}}{calls}{{{{- {end!r} }}}}"
        f"{{%- else %}}{{{{- {begin!r}.replace('ROLE', {assistant!r} if m.role == 'assistant' else m.role) }}}}"
        f"{{{{- m.content }}}}{{{{- {end!r} }}}}"
        "{%- endif %}{%- endfor %}"
        f"{{%- if add_generation_prompt %}}{{{{- {(of_assistant + opened)!r} }}}}{{% endif %}}"
    )


def each(call: str, between: str = "") -> str:
    """Jinja that writes every call, f its function."""
    comma = f"{{%- if not loop.last %}}{{{{- {between!r} }}}}{{% endif %}}" if between else ""
    return f"{{%- for call in m.tool_calls %}}{{%- set f = call.function %}}{call}{comma}{{%- endfor %}}"


OBJECT = """{{- '{"name": "' ~ f.name ~ '", "arguments": ' ~ (f.arguments | tojson) ~ '}' }}"""
HERMES = each("{{- '<tool_call>\\n' }}" + OBJECT + "{{- '\\n</tool_call>' }}", "\n")
XML = each(
    "{{- '<tool_call>\\n<function=' ~ f.name ~ '>\\n' }}{%- for k, v in f.arguments | items %}"
    "{{- '<parameter=' ~ k ~ '>\\n' ~ v ~ '\\n</parameter>\\n' }}{%- endfor %}{{- '</function>\\n</tool_call>' }}",
    "\n",
)
HERMES_ONE = f'<tool_call>\n{{"name": "weather", "arguments": {WEATHER}}}\n</tool_call>'
HERMES_TWO = HERMES_ONE + '\n<tool_call>\n{"name": "time", "arguments": {}}\n</tool_call>'
XML_ONE = "<tool_call>\n<function=weather>\n<parameter=city>\nZürich\n</parameter>\n</function>\n</tool_call>"
XML_TWO = XML_ONE + "\n<tool_call>\n<function=time>\n</function>\n</tool_call>"
LIST_ONE = f'[{{"name": "weather", "arguments": {WEATHER}}}]'
LIST_TWO = f'[{{"name": "weather", "arguments": {WEATHER}}}, {{"name": "time", "arguments": {{}}}}]'
THINK = "<think>\nHm.\n</think>\n\n"
LLAMA = ("<|start_header_id|>ROLE<|end_header_id|>\n\n", "<|eot_id|>")
MISTRAL = ("[ROLE]", "</s>")
DEEPSEEK = ("<｜ROLE｜>", "<｜end▁of▁sentence｜>")


def listed(begin: str, end: str) -> str:
    return f"{{{{- {begin + '['!r} }}}}" + each(OBJECT, ", ") + f"{{{{- {']' + end!r} }}}}"


def deepseek(old: bool) -> str:
    kind, middle, after = ("function<｜tool▁sep｜>", "\n```json\n", "\n```") if old else ("", "<｜tool▁sep｜>", "")
    call = f"{{{{- {'<｜tool▁call▁begin｜>' + kind!r} ~ f.name ~ {middle!r} ~ f.arguments ~ {after + '<｜tool▁call▁end｜>'!r} }}}}"
    return "{{- '<｜tool▁calls▁begin｜>' }}" + each(call) + "{{- '<｜tool▁calls▁end｜>' }}"


def deepseek_calls(old: bool) -> tuple[str, str]:
    kind, middle, after = ("function<｜tool▁sep｜>", "\n```json\n", "\n```") if old else ("", "<｜tool▁sep｜>", "")
    one, two = (
        f"<｜tool▁call▁begin｜>{kind}{name}{middle}{arguments}{after}<｜tool▁call▁end｜>"
        for name, arguments in (("weather", WEATHER), ("time", "{}"))
    )
    return f"<｜tool▁calls▁begin｜>{one}<｜tool▁calls▁end｜>", f"<｜tool▁calls▁begin｜>{one}{two}<｜tool▁calls▁end｜>"


FAMILIES = [
    Family("Hermes 2 Pro", template(HERMES), HERMES_ONE, HERMES_TWO),
    Family(
        "Qwen 2.5",
        template(HERMES, result="<|im_start|>user\n<tool_response>\n{{ m.content }}\n</tool_response><|im_end|>\n"),
        HERMES_ONE,
        HERMES_TWO,
    ),
    Family("Qwen 3", template(HERMES, before="{#<think></think>#}"), HERMES_ONE, HERMES_TWO, THINK),
    Family("Qwen 3 Coder", template(XML), XML_ONE, XML_TWO),
    Family(
        "Qwen 3 Coder, short",
        template(XML),
        XML_ONE.replace("<tool_call>\n", "").replace("\n</tool_call>", ""),
        XML_TWO,
    ),
    Family(
        "Qwen 3.5",
        template(XML, before=SYSTEM_FIRST + "{#<think></think>#}", opened="<think>\n"),
        XML_ONE,
        XML_TWO,
        "Hm.\n</think>\n\n",
    ),
    Family(
        "GLM 4.6",
        template(
            each(
                "{{- '\\n<tool_call>' ~ f.name ~ '\\n' }}{%- for k, v in f.arguments | items %}"
                "{{- '<arg_key>' ~ k ~ '</arg_key>\\n<arg_value>' ~ v ~ '</arg_value>\\n' }}{%- endfor %}"
                "{{- '</tool_call>' }}"
            ),
            turn=("<|ROLE|>\n", ""),
            before="{#<think></think>#}",
        ),
        "\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Zürich</arg_value>\n</tool_call>",
        "\n<tool_call>weather\n<arg_key>city</arg_key>\n<arg_value>Zürich</arg_value>\n</tool_call>\n<tool_call>time\n</tool_call>",
        "<think>Hm.</think>\n",
    ),
    Family(
        "gpt-oss",
        template(
            ONE_ONLY
            + each(
                "{{- ' to=functions.' ~ f.name ~ '<|channel|>commentary json<|message|>' ~ (f.arguments | tojson)"
                " ~ '<|call|>' }}"
            ),
            turn=("<|start|>ROLE", "<|end|>"),
            before="{#<|channel|>analysis<|message|> <|channel|>final<|message|>#}",
        ),
        f"<|channel|>commentary to=functions.weather <|constrain|>json<|message|>{WEATHER}",
        f" to=functions.weather<|channel|>commentary json<|message|>{WEATHER}<|call|><|start|>assistant to=functions.time<|channel|>commentary json<|message|>{{}}<|call|>",
        "<|channel|>analysis<|message|>Hm.<|end|><|start|>assistant",
    ),
    Family(
        "Mistral Small 3.2",
        template(
            each(NINE + "{{- '[TOOL_CALLS]' ~ f.name ~ '[ARGS]' ~ (f.arguments | tojson) }}"),
            turn=MISTRAL,
            before=ALTERNATE,
        ),
        f"[TOOL_CALLS]weather[ARGS]{WEATHER}",
        f"[TOOL_CALLS]weather[ARGS]{WEATHER}[TOOL_CALLS]time[ARGS]{{}}",
    ),
    Family(
        "Magistral",
        template(
            each(NINE + "{{- '[TOOL_CALLS]' ~ f.name ~ '[CALL_ID]' ~ call.id ~ '[ARGS]' ~ (f.arguments | tojson) }}"),
            turn=MISTRAL,
            before="{#[THINK][/THINK]#}" + ALTERNATE,
        ),
        f"[TOOL_CALLS]weather[CALL_ID]abcdefghi[ARGS]{WEATHER}",
        f"[TOOL_CALLS]weather[ARGS]{WEATHER}[TOOL_CALLS]time[ARGS]{{}}",
        "[THINK]Hm.[/THINK]",
    ),
    Family(
        "Mistral Nemo",
        template(
            "{{- '[TOOL_CALLS] [' }}"
            + each(
                NINE
                + """{{- '{"name": "' ~ f.name ~ '", "arguments": ' ~ (f.arguments | tojson) ~ ', "id": "' ~ call.id ~ '"}' }}""",
                ", ",
            )
            + "{{- ']' }}",
            turn=MISTRAL,
            before=ALTERNATE,
        ),
        "[TOOL_CALLS] " + LIST_ONE,
        "[TOOL_CALLS]" + LIST_TWO,
    ),
    Family(
        "Llama 3.1",
        template(
            ONE_ONLY + each("""{{- '{"name": "' ~ f.name ~ '", "parameters": ' ~ (f.arguments | tojson) ~ '}' }}"""),
            turn=LLAMA,
            result="<|start_header_id|>ipython<|end_header_id|>\n\n{{ m.content }}<|eot_id|>",
        ),
        f'{{"name": "weather", "parameters": {WEATHER}}}',
        f'{{"name": "weather", "parameters": {WEATHER}}}; {{"name": "time", "parameters": {{}}}}',
    ),
    Family(
        "Llama 3.2",
        template(
            ONE_ONLY + each("""{{- '{"name": "' ~ f.name ~ '", "parameters": ' ~ (f.arguments | tojson) ~ '}' }}"""),
            turn=LLAMA,
            before="{#<|python_tag|>#}",
        ),
        f'<|python_tag|>{{"name": "weather", "parameters": {WEATHER}}}',
        f'{{"name": "weather", "parameters": {WEATHER}}}\n{{"name": "time", "parameters": {{}}}}',
    ),
    Family(
        "Granite 3.3",
        template("", turn=("<|start_of_role|>ROLE<|end_of_role|>", "<|end_of_text|>\n"), before="{#<|tool_call|>#}"),
        "<|tool_call|>" + LIST_ONE,
        "<|tool_call|>" + LIST_TWO,
    ),
    Family(
        "LFM2",
        template("", before="{#<|tool_call_start|>[f(a=1)]<|tool_call_end|>#}"),
        '<|tool_call_start|>[weather(city="Zürich")]<|tool_call_end|>',
        "<|tool_call_start|>[weather(city='Zürich'), time()]<|tool_call_end|>",
    ),
    Family(
        "Command R7B",
        template(
            "{{- '<|START_ACTION|>[' }}"
            + each(
                """{{- '{"tool_call_id": "' ~ loop.index0 ~ '", "tool_name": "' ~ f.name ~ '", "parameters": '"""
                " ~ (f.arguments | tojson) ~ '}' }}",
                ", ",
            )
            + "{{- ']<|END_ACTION|>' }}",
            turn=("<|START_OF_TURN_TOKEN|><|ROLE_TOKEN|>", "<|END_OF_TURN_TOKEN|>"),
            before="{#<|START_THINKING|>#}",
        ),
        f'<|START_ACTION|>[\n    {{"tool_call_id": "0", "tool_name": "weather", "parameters": {WEATHER}}}\n]<|END_ACTION|>',
        f'<|START_ACTION|>[{{"tool_call_id": "0", "tool_name": "weather", "parameters": {WEATHER}}},\n'
        ' {"tool_call_id": "1", "tool_name": "time", "parameters": {}}]<|END_ACTION|>',
        "<|START_THINKING|>Hm.<|END_THINKING|>",
    ),
    Family("DeepSeek V3", template(deepseek(True), turn=DEEPSEEK), *deepseek_calls(True)),
    Family(
        "DeepSeek V3.1",
        template(deepseek(False), turn=DEEPSEEK, before="{#<think></think>#}"),
        *deepseek_calls(False),
        "<think>Hm.</think>",
    ),
    Family(
        "Kimi K2",
        template(
            "{{- '<|tool_calls_section_begin|>' }}"
            + each(
                "{{- '<|tool_call_begin|>' ~ call.id ~ '<|tool_call_argument_begin|>' ~ (f.arguments | tojson)"
                " ~ '<|tool_call_end|>' }}"
            )
            + "{{- '<|tool_calls_section_end|>' }}",
        ),
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{WEATHER}<|tool_call_end|><|tool_calls_section_end|>",
        f"<|tool_calls_section_begin|><|tool_call_begin|>functions.weather:0<|tool_call_argument_begin|>{WEATHER}<|tool_call_end|>"
        "<|tool_call_begin|>functions.time:1<|tool_call_argument_begin|>{}<|tool_call_end|><|tool_calls_section_end|>",
    ),
    Family(
        "MiniMax M2",
        template(
            "{{- '<minimax:tool_call>\\n' }}"
            + each(
                """{{- '<invoke name="' ~ f.name ~ '">\\n' }}{%- for k, v in f.arguments | items %}"""
                """{{- '<parameter name="' ~ k ~ '">' ~ v ~ '</parameter>\\n' }}{%- endfor %}{{- '</invoke>\\n' }}"""
            )
            + "{{- '</minimax:tool_call>' }}",
            turn=("]~b]ROLE\n", "[e~[\n"),
            before="{#<think></think>#}",
            opened="<think>\n",
        ),
        '<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Zürich</parameter>\n</invoke>\n</minimax:tool_call>',
        '<minimax:tool_call>\n<invoke name="weather">\n<parameter name="city">Zürich</parameter>\n</invoke>\n'
        '<invoke name="time">\n</invoke>\n</minimax:tool_call>',
        "Hm.\n</think>\n\n",
    ),
    Family(
        "Phi-4-mini",
        template(listed("<|tool_call|>", "<|/tool_call|>"), turn=("<|ROLE|>", "<|end|>")),
        f"<|tool_call|>{LIST_ONE}<|/tool_call|>",
        f"<|tool_call|>{LIST_TWO}<|/tool_call|>",
    ),
    Family(
        "Functionary 3.1",
        template(each("{{- '<function=' ~ f.name ~ '>' ~ (f.arguments | tojson) ~ '</function>' }}"), turn=LLAMA),
        f"<function=weather>{WEATHER}</function>",
        f"<function=weather>{WEATHER}</function><function=time>{{}}</function>",
    ),
    Family(
        "Functionary 3.2",
        template(each("{{- '>>>' ~ f.name ~ '\\n' ~ (f.arguments | tojson) }}"), turn=LLAMA),
        f">>>weather\n{WEATHER}",
        f">>>weather\n{WEATHER}>>>time\n{{}}",
    ),
    Family(
        "Gemma 3",
        NO_SYSTEM
        + ALTERNATE
        + "{%- for m in messages %}<start_of_turn>{{ 'model' if m.role == 'assistant' else m.role }}\n{{ m.content | trim }}"
        "<end_of_turn>\n{% endfor %}<start_of_turn>model\n",
        HERMES_ONE,
        HERMES_TWO,
    ),
    Family(
        "SmolLM3",
        template(HERMES, before="{#<think></think>#}", result="<|im_start|>user\n{{ m.content }}<|im_end|>\n"),
        HERMES_ONE,
        HERMES_TWO,
        THINK,
    ),
    Family(
        "Hunyuan A13B",
        template(listed("<tool_calls>", "</tool_calls>"), turn=("<|ROLE|>", "<|eos|>"), before="{#<think></think>#}"),
        f"<tool_calls>{LIST_ONE}</tool_calls>",
        f"<tool_calls>{LIST_TWO}</tool_calls>",
        "<think>\nHm.\n</think>\n",
    ),
    Family(
        "Nemotron Nano 2",
        template(listed("<TOOLCALL>", "</TOOLCALL>"), turn=("<SPECIAL>ROLE\n", "\n")),
        f"<TOOLCALL>{LIST_ONE}</TOOLCALL>",
        f"<TOOLCALL>{LIST_TWO}</TOOLCALL>",
    ),
    Family(
        "ERNIE 4.5",
        template(HERMES, before="{#<think></think>#}", opened="<think>\n"),
        HERMES_ONE,
        HERMES_TWO,
        "Hm.\n</think>\n\n",
    ),
    Family(
        "GigaChat 3",
        template(
            ONE_ONLY + each("{{- 'function call<|role_sep|>\\n' }}" + OBJECT),
            turn=("ROLE<|role_sep|>\n", "<|message_sep|>\n\n"),
        ),
        f'function call<|role_sep|>\n{{"name": "weather", "arguments": {WEATHER}}}',
        f'function call<|role_sep|>\n{{"name": "weather", "arguments": {WEATHER}}}function call<|role_sep|>\n{{"name": "time", "arguments": {{}}}}',
    ),
    Family(
        "Seed-OSS",
        template(
            "{{- '<seed:tool_call>\\n' }}"
            + each(
                "{{- '<function=' ~ f.name ~ '>\\n' }}{%- for k, v in f.arguments | items %}"
                "{{- '<parameter=' ~ k ~ '>' ~ v ~ '</parameter>\\n' }}{%- endfor %}{{- '</function>\\n' }}"
            )
            + "{{- '</seed:tool_call>' }}",
            before="{#<seed:think></seed:think>#}",
        ),
        "<seed:tool_call>\n<function=weather>\n<parameter=city>Zürich</parameter>\n</function>\n</seed:tool_call>",
        "<seed:tool_call>\n<function=weather>\n<parameter=city>Zürich</parameter>\n</function>\n<function=time>\n</function>\n</seed:tool_call>",
        "<seed:think>Hm.</seed:think>",
    ),
    Family(
        "Apertus",
        template(
            "{{- '<|tools_prefix|>[' }}"
            + each("""{{- '{"' ~ f.name ~ '": ' ~ (f.arguments | tojson) ~ '}' }}""", ", ")
            + "{{- ']<|tools_suffix|>' }}",
            before="{#<|inner_prefix|><|inner_suffix|>#}",
        ),
        f'<|tools_prefix|>[{{"weather": {WEATHER}}}]<|tools_suffix|>',
        f'<|tools_prefix|>[{{"weather": {WEATHER}}}, {{"time": {{}}}}]<|tools_suffix|>',
        "<|inner_prefix|>Hm.<|inner_suffix|>",
    ),
    Family(
        "EXAONE 4",
        template(HERMES, turn=("[|ROLE|]\n", "[|endofturn|]\n"), before="{#<think></think>#}"),
        HERMES_ONE,
        HERMES_TWO,
        THINK,
    ),
    Family(
        "Llama 4",
        template(
            "{{- '<|python_start|>[' }}"
            + each(
                "{{- f.name ~ '(' }}{%- for k, v in f.arguments | items %}{{- k ~ '=' ~ (v | tojson) }}{%- if not loop.last %}{{- ', ' }}{% endif %}{%- endfor %}{{- ')' }}",
                ", ",
            )
            + "{{- ']<|python_end|>' }}",
            turn=LLAMA,
        ),
        '<|python_start|>[weather(city="Zürich")]<|python_end|>',
        '<|python_start|>[weather(city="Zürich"), time()]<|python_end|>',
    ),
]
