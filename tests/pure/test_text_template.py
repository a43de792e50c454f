"""Chat templates render byte for byte as the reference renders them, and fail with one clear line."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from checkpoint_tokenizer import CHAT_TEMPLATE
from galago.errors import ConfigError, UsageError
from galago.text import ChatTemplate

# Written as one line, with the loose white space that templates of this form have.
ONE_LINE = (
    "{% set image_count = namespace(value=0) %}{% set video_count = namespace(value=0) %}"
    "{% for message in messages %}{% if loop.first and message['role'] != 'system' %}"
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n{% endif %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if message['content'] is string %}{{ message['content'] }}<|im_end|>\n"
    "{% else %}{% for part in message['content'] %}"
    "{% if part['type'] == 'image' or 'image' in part or 'image_url' in part %}"
    "{% set image_count.value = image_count.value + 1 %}"
    "{% if add_vision_id %}Picture {{ image_count.value }}: {% endif %}"
    "<|vision_start|><|image_pad|><|vision_end|>"
    "{% elif part['type'] == 'video' or 'video' in part %}"
    "{% set video_count.value = video_count.value + 1 %}"
    "{% if add_vision_id %}Video {{ video_count.value }}: {% endif %}"
    "<|vision_start|><|video_pad|><|vision_end|>"
    "{% elif 'text' in part %}{{ part['text'] }}{% endif %}{% endfor %}<|im_end|>\n{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
BLOCKS = """\
{%- if messages[0]['role'] == 'system' %}
    {%- set first = messages[0].content | trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set first = 'Be brief.' %}
{%- endif %}
{{ bos_token }}{{- '[' ~ first ~ ']' }}
{%- macro show(value, sign='-') %}{{ sign }}{{ value }}{% endmacro %}
{%- for tool in tools or [] %}
    {{- show(tool | tojson) }}
    {{- tool | tojson(indent=2) }}
{%- endfor %}
  {% for message in messages %}
    {% if message.role not in ['user', 'assistant', 'tool'] %}
      {{ raise_exception('unknown role ' + message.role) }}
    {% endif %}
    {% if loop.index0 % 2 == 1 and message.role == 'user' %}{% continue %}{% endif %}
    {# parts of a text #}
    {%- set text = message.content if message.content is string else '' %}
    {%- if not text %}
        {%- set text = message.content | map(attribute='text') | join %}
    {%- endif %}
    {%- if '</think>' in text %}
        {%- set text = text.split('</think>')[-1].lstrip('\\n') %}
    {%- endif %}
    {%- generation %}
    {{- message.role | upper }}: {{ text.strip().replace('\\t', ' ') | trim }}{{ '!' if loop.last else '' }}
    {%- endgeneration %}
    {{ loop.index }}/{{ messages | length }} {{ text.startswith('a') }}
    {{ none }} {{ true }} {{ [1, 'a', none] }}
  {% endfor %}
{%- if add_generation_prompt is defined and add_generation_prompt %}{{ '>' }}{% endif %}
{{ messages | selectattr('role', 'equalto', 'user') | list | length }}{{ missing is defined }}{{ missing }}
{{ messages[-1].get('name', 'nobody') }} {{ messages[0].keys() | list }}
{{ 7 // 2 }} {{ 'ab'[::-1] }}{{ 'x'.title() }}

"""
PICTURE, VIDEO = {"type": "image", "image": "a.png"}, {"type": "video", "video": "a.mp4"}
CONVERSATIONS = {
    "one text": [{"role": "user", "content": "Hello <b>\n  \"you\" & 'me' é🙂"}],
    "a picture": [{"role": "user", "content": [PICTURE, {"type": "text", "text": "What is it?\n"}]}],
    "a system message": [{"role": "system", "content": " Be kind. "}, {"role": "user", "content": "Hi"}],
    "pictures, a video and turns": [
        {"role": "user", "content": [PICTURE, {"type": "image_url", "image_url": {"url": "b"}}]},
        {"role": "assistant", "content": "<think>hm</think>\n\nTwo.\t"},
        {"role": "user", "content": [VIDEO, {"type": "text", "text": "And \\n here?"}, PICTURE]},
    ],
}  # fmt: skip
TOOLS = [{"type": "function", "function": {"name": "größer", "parameters": {"<a>": [1, 2.5, None, True]}}}]


@pytest.mark.parametrize("messages", CONVERSATIONS.values(), ids=CONVERSATIONS)
@pytest.mark.parametrize("template", [CHAT_TEMPLATE, ONE_LINE, BLOCKS], ids=["ours", "one line", "blocks"])
@pytest.mark.parametrize(
    "variables",
    [
        {"add_generation_prompt": True},
        {"add_generation_prompt": False, "add_vision_id": True},
        {"add_generation_prompt": True, "tools": TOOLS, "bos_token": "<s>"},
    ],
    ids=["prompt", "vision ids", "tools"],
)
def test_templates_render_as_the_reference_renders_them(template, messages, variables):
    expected, _ = render_jinja_template([messages], chat_template=template, **variables)
    assert ChatTemplate(template).render(messages, **variables) == expected[0]


def test_the_prompt_of_a_picture_is_what_the_models_were_trained_on():
    assert ChatTemplate(ONE_LINE).render(CONVERSATIONS["a picture"]) == (
        "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
        "<|im_start|>user\n<|vision_start|><|image_pad|><|vision_end|>What is it?\n<|im_end|>\n"
        "<|im_start|>assistant\n"
    )


def test_the_date_is_todays():
    before = time.strftime("%Y %j")
    text = ChatTemplate("{{ strftime_now('%Y %j') }}").render([])
    assert text in {before, time.strftime("%Y %j")}


def test_a_conversation_that_the_template_refuses_is_a_misuse():
    with pytest.raises(UsageError, match="refuses this conversation: unknown role judge") as caught:
        ChatTemplate(BLOCKS).render([{"role": "judge", "content": "x"}])
    assert caught.value.hint


@pytest.mark.parametrize("source", ["{% if %}", "{{ messages[", "{% unknown %}"])
def test_a_template_with_wrong_syntax_is_refused_at_once(source):
    with pytest.raises(ConfigError, match="the chat template fails: syntax error"):
        ChatTemplate(source)


@pytest.mark.parametrize(
    "source",
    [
        "{{ a.b.c }}",
        "{{ 'a' + 1 }}",
        "{{ messages | no_such_filter }}",
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}",
    ],
)
def test_a_template_that_fails_or_never_ends_is_one_clear_line(source):
    with pytest.raises(ConfigError, match="the chat template fails: ") as caught:
        ChatTemplate(source).render([])
    assert "\n" not in str(caught.value)
    assert caught.value.hint


def test_a_template_cannot_reach_objects_nor_change_the_messages():
    class Picture:
        def save(self) -> str:
            raise AssertionError

    message = {"role": "user", "content": [{"type": "image", "image": Picture()}]}
    assert ChatTemplate("{{ messages[0].content[0].image }}").render([message]) == "<Picture>"
    with pytest.raises(ConfigError):
        ChatTemplate("{{ messages[0].content[0].image.save() }}").render([message])
    ChatTemplate("{{ messages[0].pop('role') }}{{ messages[0].content.append(1) }}").render([message])
    assert message["role"] == "user"
    assert len(message["content"]) == 1


def test_threads_may_share_a_template():
    template = ChatTemplate("{% for m in messages %}{{ m | tojson }}{{ strftime_now('%%') }}{% endfor %}")
    conversations = [[{"role": "user", "content": str(n)}] * 50 for n in range(64)]
    with ThreadPoolExecutor(8) as pool:
        texts = list(pool.map(template.render, conversations))
    assert texts == [template.render(messages) for messages in conversations]


def test_sources_are_looked_for_in_their_order(tmp_path):
    named = [
        {"name": "tool_use", "template": "tools"},
        {"name": "default", "template": "from a list{{ bos_token }}"},
    ]
    config = {"bos_token": {"content": "<s>"}, "chat_template": named}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    assert ChatTemplate.from_folder(tmp_path).render([]) == "from a list<s>"
    (tmp_path / "tokenizer_config.json").write_text(
        json.dumps({"bos_token": "<t>", "chat_template": "a{{ bos_token }}"})
    )
    assert ChatTemplate.from_folder(tmp_path).render([]) == "a<t>"
    (tmp_path / "chat_template.json").write_text(json.dumps({"chat_template": "b"}))
    assert ChatTemplate.from_folder(tmp_path).render([]) == "b"
    (tmp_path / "chat_template.jinja").write_text("c")
    assert ChatTemplate.from_folder(tmp_path).render([]) == "c"


@pytest.mark.parametrize("config", [{}, {"chat_template": None}, {"chat_template": 5}, {"chat_template": []}])
def test_a_folder_without_a_template_says_what_to_do(tmp_path, config):
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match="has no chat template") as caught:
        ChatTemplate.from_folder(tmp_path)
    assert "chat_template.jinja" in caught.value.hint


def test_a_template_file_that_is_no_text_is_named(tmp_path):
    (tmp_path / "chat_template.jinja").write_bytes(b"\xff")
    with pytest.raises(ConfigError, match=r"chat_template\.jinja cannot be read: it is not UTF-8 text"):
        ChatTemplate.from_folder(tmp_path)
