"""Which tokens are learned, with any chat template; and that a prompt is what training saw."""

import numpy as np
import pytest
import tokenizers
from tiny_models import CHATML, CORPUS, make_tokenizer
from tokenizers import AddedToken, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from anisoalign.embeddings import InputError
from anisoalign.mllm import Conversations, ModelSettings, StageSettings
from anisoalign.mllm.chat import IGNORED, Chat
from anisoalign.mllm.fitting import fitting
from anisoalign.mllm.records import Turn

pytestmark = pytest.mark.integration

LLAMA3 = (
    "{{- bos_token }}{%- for message in messages %}{{- '<|start|>' + message['role'] + '<|end|>\n\n' "
    "+ message['content'] | trim + '<|eot|>' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|start|>assistant<|end|>\n\n' }}{%- endif %}"
)
"""As Llama 3 has it, with shorter names."""

QWEN3 = (
    "{%- for message in messages %}{%- if message.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}"
    "{%- if loop.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{{- message.content + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
"""As Qwen 3 has it where nothing was thought: only the last answer shows empty thoughts."""

QWEN3_MARKED = QWEN3.replace(
    "{{- message.content + '<|im_end|>\n' }}{%- else",
    "{%- generation %}{{- message.content + '<|im_end|>' }}{%- endgeneration %}{{- '\n' }}{%- else",
)
"""The same with marks."""

MARKED = (
    "{%- for message in messages %}{%- if message.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}"
    "{%- generation %}{{- message.content }}{%- endgeneration %}{{- '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}{%- endif %}"
)
"""With marks that leave the end of a turn out."""

NEMESIS = "{% for m in messages %}{{ m.content }}{% endfor %}{% if add_generation_prompt %} {% endif %}"
"""Nothing says where an answer ends."""

PHI3 = (
    "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] + '<|end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% else %}{{ eos_token }}{% endif %}"
)
"""As Phi 3 has it: every turn ends, and after the last one the conversation too."""

LAST_ALONE = (
    "{% for message in messages %}{{ '### ' + message['role'] + ': ' + message['content'] + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '### assistant:' }}{% else %}{{ '### ' + eos_token }}{% endif %}"
)
"""Ends the last answer alone; what the others are followed by begins the next turn."""

MISTRAL = (
    "{%- if messages[0].role == 'system' %}{%- set system, messages = messages[0].content, messages[1:] %}{%- endif %}"
    "{{- bos_token }}{%- for message in messages %}{%- if message.role == 'user' %}{%- if loop.last and system %}"
    "{{- '[INST] ' + system + '\n\n' + message.content + '[/INST]' }}{%- else %}"
    "{{- '[INST] ' + message.content + '[/INST]' }}{%- endif %}{%- else %}{{- ' ' + message.content + eos_token }}"
    "{%- endif %}{%- endfor %}"
)
"""As Mistral 7B v0.3 has it: the system message stands in the last question alone, and only where it is still open."""

SPACED = (
    "{% for message in messages %}{{ message['role'] + ': ' + message['content'] + eos_token + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ 'assistant: ' }}{% endif %}"
)
"""A prompt ends in a space, which many tokenizers make one token with the word that follows."""

QWEN3_WHOLE = (
    "{%- set ns = namespace(last=messages|length - 1, found=false) %}{%- for message in messages[::-1] %}"
    "{%- if not ns.found and message.role == 'user' %}{%- set ns.found = true %}"
    "{%- set ns.last = (messages|length - 1) - loop.index0 %}{%- endif %}{%- endfor %}"
    "{%- for message in messages %}{%- if message.role == 'assistant' %}{{- '<|im_start|>assistant\n' }}"
    "{%- if loop.index0 > ns.last %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}{{- message.content + '<|im_end|>\n' }}"
    "{%- else %}{{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{%- endif %}{%- endfor %}"
    "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\n' }}"
    "{%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\n\n</think>\n\n' }}{%- endif %}"
    "{%- endif %}"
)
"""As Qwen 3 finds the last answer: the one after the last question."""

TALK = [
    {"from": "human", "value": "<image>\nuser or assistant?"},
    {"from": "gpt", "value": "a"},
    {"from": "human", "value": "and now, assistant"},
    {"from": "gpt", "value": "assistant"},
]
"""Answers that also stand in what is around them."""

TEMPLATES = {
    "llama 3": (LLAMA3, ("<|start|>", "<|end|>", "<|eot|>"), "<|eot|>"),
    "qwen 2": (CHATML, ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "qwen 3": (QWEN3, ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "qwen 3 whole": (QWEN3_WHOLE, ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "qwen 3 marked": (QWEN3_MARKED, ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "marked": (MARKED, ("<|im_start|>", "<|im_end|>"), "<|im_end|>"),
    "phi 3": (PHI3, ("<|user|>", "<|assistant|>", "<|end|>", "<|endoftext|>"), "<|end|>"),
    "plain": (None, (), "</s>"),
}

UNSTEADY = {"qwen 3", "qwen 3 whole", "qwen 3 marked"}
"""Templates that show earlier answers otherwise than they ask for them."""


def make_chat(name, **settings):
    template, special, _ = TEMPLATES[name]
    return Chat(make_tokenizer(template, special), ModelSettings(**settings))


def learned(chat, tokens):
    """Text of each run of labels."""
    runs, before = [], -2
    for place in np.flatnonzero(tokens.labels >= 0):
        if place != before + 1:
            runs.append([])
        runs[-1].append(int(tokens.labels[place]))
        before = place
    return [chat.tokenizer.decode(run) for run in runs]


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("visual", [1, 3])
def test_answers_and_their_ends_are_learned_and_nothing_else(name, visual):
    chat = make_chat(name, visual_tokens=visual)
    tokens = chat.tokens(Conversations([{"id": 1, "conversations": TALK}])[0])
    end = TEMPLATES[name][2]
    assert [text.strip() for text in learned(chat, tokens)] == [f"a{end}", f"assistant{end}"]
    assert (tokens.ids == chat.image_id).sum() == visual
    np.testing.assert_array_equal(tokens.labels[tokens.labels >= 0], tokens.ids[tokens.labels >= 0])
    assert chat.tokenizer.convert_tokens_to_ids(end) in chat.template.stop_ids


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("system", ["", "be brief"])
@pytest.mark.parametrize("thinking", [False, True])
def test_a_prompt_is_what_training_saw_before_every_answer(name, system, thinking):
    chat = make_chat(name, system=system, thinking=thinking)
    turns = [*TALK, {"from": "human", "value": "again"}, {"from": "gpt", "value": "yes"}]
    talk = Conversations([{"id": 1, "conversations": turns}])[0]
    tokens = chat.tokens(talk)
    starts = np.flatnonzero((tokens.labels[1:] >= 0) & (tokens.labels[:-1] < 0)) + 1
    assert len(starts) == 3
    for number, start in zip((1, 3, 5), starts, strict=True):
        prompt = chat.prompt(talk.turns[:number])
        np.testing.assert_array_equal(tokens.ids[: len(prompt)], prompt)
        assert start == len(prompt)


@pytest.mark.parametrize("name", sorted(set(TEMPLATES) - UNSTEADY))
def test_a_conversation_reads_as_its_template_writes_it(name):
    chat = make_chat(name)
    talk = Conversations([{"id": 1, "conversations": TALK}])[0]
    assert chat.tokenizer.decode(chat.tokens(talk).ids) == chat.template.render(talk.turns)
    assert chat.template._assembled(talk.turns)[0] == chat.template.render(talk.turns)


def test_answers_stand_after_empty_thoughts_where_every_prompt_ends_with_them():
    chat = make_chat("qwen 3 whole")
    talk = Conversations([{"id": 1, "conversations": TALK}])[0]
    assert chat.template.render(talk.turns).count("<think>") == 1
    text = chat.tokenizer.decode(chat.tokens(talk).ids)
    assert text.count("<|im_start|>assistant\n<think>\n\n</think>\n\n") == 2
    assert text.replace("<think>\n\n</think>\n\n", "") == chat.template.render(talk.turns).replace(
        "<think>\n\n</think>\n\n", ""
    )


RUN_TOGETHER = {
    "a space": "assistant: ",
    "two spaces": "assistant:  ",
    "nothing": "assistant:",
    "two lines": "assistant\n\n",
}
"""Ends of prompts, which some tokenizers run together with what follows."""


def make_trained(pre_tokenizer, decoder):
    """A BPE tokenizer for which ":yes" is a word, in the way that sentences are cut into words."""
    backend = tokenizers.Tokenizer(models.BPE(unk_token="<unk>"))
    backend.pre_tokenizer, backend.decoder = pre_tokenizer, decoder
    said = [*CORPUS, *["assistant:yes", "assistant: yes", ":red assistant:red"] * 50, "#\n\n.,?!0123456789"]
    specials = ["<unk>", "<s>", "</s>", "<pad>"]
    backend.train_from_iterator(
        said,
        trainers.BpeTrainer(
            vocab_size=700,
            special_tokens=specials,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    return PreTrainedTokenizerFast(
        tokenizer_object=backend, bos_token="<s>", eos_token="</s>", pad_token="<pad>", unk_token="<unk>"
    )


GPT4 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
    r"|\s+(?!\S)|\s+"
)
"""Words as GPT-4, Llama 3 and Qwen cut them."""

TOKENIZERS = {
    "gpt-2": lambda: make_tokenizer(),
    "gpt-4": lambda: make_trained(
        pre_tokenizers.Sequence(
            [
                pre_tokenizers.Split(tokenizers.Regex(GPT4), "isolated"),
                pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
            ]
        ),
        decoders.ByteLevel(),
    ),
    "first": lambda: make_trained(pre_tokenizers.Metaspace(prepend_scheme="first"), decoders.Metaspace()),
    "always": lambda: make_trained(pre_tokenizers.Metaspace(prepend_scheme="always"), decoders.Metaspace()),
    "unsplit": lambda: make_trained(pre_tokenizers.Metaspace(split=False), decoders.Metaspace()),
}
"""Ways to cut words: the byte-level ones, and those of SentencePiece, which may write a space before all text."""


@pytest.mark.parametrize("marks", [False, True])
@pytest.mark.parametrize("end", RUN_TOGETHER)
@pytest.mark.parametrize("kind", TOKENIZERS)
def test_answers_begin_after_the_tokens_that_their_prompts_have_alone(kind, end, marks):
    asked = RUN_TOGETHER[end]
    answer = (
        "{% generation %}{{ m.content + eos_token }}{% endgeneration %}" if marks else "{{ m.content + eos_token }}"
    )
    tokenizer = TOKENIZERS[kind]()
    tokenizer.chat_template = (
        "{% for m in messages %}{% if m.role == 'assistant' %}{{ '" + asked + "' }}" + answer + "{{ '\n' }}"
        "{% else %}{{ 'user: ' + m.content + '\n' }}{% endif %}{% endfor %}"
        "{% if add_generation_prompt %}{{ '" + asked + "' }}{% endif %}"
    )
    chat, said = Chat(tokenizer, ModelSettings()), ["yes", "red ring", "5"]
    turns = [turn for one in said for turn in ({"from": "human", "value": "q"}, {"from": "gpt", "value": one})]
    turns[0] = {"from": "human", "value": "<image> q"}
    talks = Conversations([{"id": 1, "conversations": turns}])
    tokens = chat.tokens(talks[0])
    for number in (1, 3, 5):
        prompt = chat.prompt(talks[0].turns[:number])
        np.testing.assert_array_equal(tokens.ids[: len(prompt)], prompt)
        assert (tokens.labels[len(prompt) - 1], tokens.labels[len(prompt)]) == (IGNORED, tokens.ids[len(prompt)])
    assert learned(chat, tokens) == [f"{one}</s>" for one in said]
    whole = tokenizer(chat.template.render(talks[0].turns), add_special_tokens=False)["input_ids"]
    assert tokenizer.decode(tokens.ids) == tokenizer.decode(whole)  # no space comes in between


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_a_space_before_an_answer_stays_one_token_with_it(kind):
    tokenizer = TOKENIZERS[kind]()
    tokenizer.chat_template = None  # USER: and ASSISTANT:, as Vicuna has it
    chat = Chat(tokenizer, ModelSettings())
    talk = Conversations([{"id": 1, "conversations": [TALK[0], {"from": "gpt", "value": "yes there"}]}])[0]
    whole = tokenizer(chat.template.render(talk.turns), add_special_tokens=False)["input_ids"]
    assert chat.tokens(talk).ids.tolist() == whole
    assert " yes" in {tokenizer.convert_ids_to_tokens([i])[0].replace("Ġ", " ").replace("▁", " ") for i in whole}


def test_the_first_token_is_learned_where_the_space_before_it_is_the_prompt_s():
    chat = Chat(make_tokenizer(SPACED), ModelSettings())
    talk = Conversations([{"id": 1, "conversations": [TALK[0], {"from": "gpt", "value": "red ring"}]}])[0]
    assert [text.strip() for text in learned(chat, chat.tokens(talk))] == ["red ring</s>"]


@pytest.mark.parametrize("inside", [True, False])
def test_a_template_that_shows_a_system_message_to_prompts_alone_is_refused(inside):
    said = {"from": "system", "value": "be brief"}
    talk = Conversations([{"id": 1, "conversations": [said, *TALK] if inside else TALK}])[0]
    tokenizer = make_tokenizer(MISTRAL, ("[INST]", "[/INST]", "<end>"))
    chat = Chat(tokenizer, ModelSettings(system="" if inside else "be brief"))
    assert "be brief" in chat.template.render(talk.turns[:-1], answer_next=True)
    with pytest.raises(InputError, match=r'leaves the system message out of what is learned; chat = "plain"'):
        chat.tokens(talk)
    # Nothing is lost where there is no message.
    bare, chat = Conversations([{"id": 1, "conversations": TALK}])[0], Chat(tokenizer, ModelSettings())
    assert learned(chat, chat.tokens(bare)) == [" a<end>", " assistant<end>"]


def test_marks_and_differences_agree():
    marked, found = make_chat("marked"), make_chat("qwen 2")
    talk = Conversations([{"id": 1, "conversations": TALK}])[0]
    assert learned(marked, marked.tokens(talk)) == learned(found, found.tokens(talk))


def in_turns(answer, end="<|end|>"):
    """A template in which questions end as Phi 3 has it, and an answer stands as given."""
    return (
        "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' }}{% if message['role'] == 'assistant' %}"
        f"{answer}{{% else %}}{{{{ message['content'] + '{end}\n' }}}}{{% endif %}}{{% endfor %}}"
        "{% if add_generation_prompt %}{{ '<|assistant|>\n' }}{% endif %}"
    )


@pytest.mark.parametrize(
    "answer",
    [
        "{% generation %}{{ message['content'] }}{% endgeneration %}{{ '<|end|>\n' }}",
        "{% generation %}{{ message['content'] + '<|end|>' }}{% endgeneration %}{{ '\n' }}",
        "{% generation %}{{ message['content'] + '<|end|>\n' }}{% endgeneration %}",
    ],
)
def test_an_end_that_is_special_only_as_an_added_token_is_learned(answer):
    tokenizer = make_tokenizer(in_turns(answer))
    tokenizer.add_tokens([AddedToken(mark, special=True) for mark in ("<|user|>", "<|assistant|>", "<|end|>")])
    chat = Chat(tokenizer, ModelSettings())
    assert "<|end|>" not in tokenizer.all_special_tokens  # as Phi 3 has it
    found = learned(chat, chat.tokens(Conversations([{"id": 1, "conversations": TALK}])[0]))
    assert [text.strip() for text in found] == ["a<|end|>", "assistant<|end|>"]
    assert tokenizer.convert_tokens_to_ids("<|end|>") in chat.template.stop_ids


@pytest.mark.parametrize("after", ["", "\\n<|end|>\\n"])
def test_marks_that_show_no_end_of_an_answer_are_refused(after):
    answer = f"{{% generation %}}{{{{ message['content'] }}}}{{% endgeneration %}}{{{{ '{after}' }}}}"
    chat = Chat(
        make_tokenizer(in_turns(answer), ("<|user|>", "<|assistant|>", "<|end|>", "<|of text|>")), ModelSettings()
    )
    with pytest.raises(
        InputError, match=r"id '1': the chat template marks no token that ends answer 1; chat = \"plain"
    ):
        chat.tokens(Conversations([{"id": 1, "conversations": TALK}])[0])


def test_a_template_that_does_not_show_its_answers_is_refused():
    chat = Chat(make_tokenizer(NEMESIS), ModelSettings())
    with pytest.raises(InputError, match=r'does not show where an answer ends; chat = "plain"'):
        chat.tokens(Conversations([{"id": 1, "conversations": TALK}])[0])
    plain = Chat(make_tokenizer(NEMESIS), ModelSettings(chat="plain"))
    assert len(learned(plain, plain.tokens(Conversations([{"id": 1, "conversations": TALK}])[0]))) == 2


def test_a_template_that_ends_the_last_answer_alone_is_refused_where_another_comes_before():
    chat = Chat(make_tokenizer(LAST_ALONE), ModelSettings())
    one = Conversations([{"id": 1, "conversations": TALK[:2]}])[0]
    assert [text.strip() for text in learned(chat, chat.tokens(one))] == ["a\n### </s>"]
    with pytest.raises(InputError, match="does not end the answer of turn 2 as others"):
        chat.tokens(Conversations([{"id": 1, "conversations": TALK}])[0])


@pytest.mark.parametrize("name", TEMPLATES)
def test_no_conversation_has_more_tokens_than_are_looked_for(name):
    chat = make_chat(name, visual_tokens=9)
    turns = [*TALK, {"from": "human", "value": "日本語 ✓"}, {"from": "gpt", "value": "é"}]
    talks = Conversations(
        [
            {"id": 1, "conversations": TALK[:2]},
            {"id": 2, "conversations": turns},
            {"id": 3, "conversations": [{"from": "system", "value": "be brief"}, *turns]},
        ]
    )
    bounds = chat.template.at_most(talks.sizes, talks.turns)
    lengths = [len(chat.tokens(talks[number])) for number in range(3)]
    assert (bounds >= lengths).all()
    assert (bounds < np.array(lengths) + 400).all()


def test_only_conversations_that_may_lose_their_answer_are_labelled_before_training(monkeypatch):
    chat, looked = make_chat("qwen 2"), []
    short = [{"id": str(number), "conversations": TALK} for number in range(600)]
    long = [{"from": "human", "value": "<image>" + " what" * 200}, TALK[1]]
    talks = Conversations([*short, {"id": "long", "conversations": long}])
    longest = int(chat.template.at_most(talks.sizes, talks.turns)[0])
    tokens = Chat.tokens
    monkeypatch.setattr(Chat, "tokens", lambda *given: looked.append(given[1].id) or tokens(*given))
    found = fitting(talks, chat, StageSettings(max_length=longest, on_bad="skip"))
    assert (len(found), found.left_out.count) == (600, 1)
    assert sorted(looked) == ["0", "long", "long"]  # one of each number of turns, and the one that is too long


def test_a_conversation_that_is_refused_for_what_it_says_is_found_among_others():
    template = "{%- if 'ouch' in messages[0].content %}{{ raise_exception('no pain') }}{%- endif %}" + CHATML
    chat = Chat(make_tokenizer(template, ("<|im_start|>", "<|im_end|>")), ModelSettings())
    talks = [{"id": number, "conversations": TALK} for number in range(3)]
    talks.insert(1, {"id": "x", "conversations": [{"from": "human", "value": "<image> ouch"}, *TALK[1:]]})
    longest = len(chat.tokens(Conversations(talks)[0]))
    with pytest.raises(InputError, match=r"1 conversation\(s\) cannot be used, these:\n  id 'x': .*: no pain"):
        fitting(Conversations(talks), chat, StageSettings(max_length=longest))


def test_a_template_that_refuses_a_message_says_so():
    template = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + CHATML
    chat = Chat(make_tokenizer(template, ("<|im_start|>", "<|im_end|>")), ModelSettings(system="be brief"))
    with pytest.raises(InputError, match="refuses the conversation: no system"):
        chat.prompt([Turn("user", "hello")])


def test_a_system_message_is_put_first_where_there_is_none():
    chat = make_chat("qwen 2", system="be brief")
    assert "system\nbe brief" in chat.template.render([Turn("user", "hello")])
    assert "be brief" not in chat.template.render([Turn("system", "be long"), Turn("user", "hello")])


@pytest.mark.parametrize("template", [CHATML, MARKED])
def test_a_template_that_prints_the_date_prints_that_of_the_settings(template):
    template = "{{- 'Today: ' + strftime_now('%d %b %Y') + '\n' }}" + template
    texts = []
    for date in ("2024-07-26", "2025-03-01"):
        chat = Chat(make_tokenizer(template, ("<|im_start|>", "<|im_end|>")), ModelSettings(date=date))
        assert chat.template.dated
        texts.append(chat.tokenizer.decode(chat.tokens(Conversations([{"id": 1, "conversations": TALK}])[0]).ids))
        assert chat.tokenizer.decode(chat.prompt([Turn("user", "x")])).split("\n")[0] == texts[-1].split("\n")[0]
    assert [text.split("\n")[0] for text in texts] == ["Today: 26 Jul 2024", "Today: 01 Mar 2025"]
    assert not make_chat("qwen 2").template.dated


def test_long_conversations_lose_their_end():
    chat = make_chat("qwen 2")
    talk = Conversations([{"id": 1, "conversations": TALK}])[0]
    whole = chat.tokens(talk)
    cut = chat.tokens(talk, len(whole) - 4)
    assert cut.truncated
    assert not whole.truncated
    np.testing.assert_array_equal(cut.ids, whole.ids[:-4])


def test_of_several_chat_templates_the_default_is_taken():
    tokenizer = make_tokenizer(None, ("<|im_start|>", "<|im_end|>"))
    tokenizer.chat_template = {"tool_use": NEMESIS, "default": CHATML}
    assert (
        Chat(tokenizer, ModelSettings()).template.render([Turn("user", "hello")]).startswith("<|im_start|>user\nhello")
    )
    tokenizer.chat_template = {"tool_use": NEMESIS, "rag": NEMESIS}
    with pytest.raises(InputError, match='none of the chat templates is named default: rag, tool_use; chat = "plain"'):
        Chat(tokenizer, ModelSettings())
    assert "USER: hello" in Chat(tokenizer, ModelSettings(chat="plain")).template.render([Turn("user", "hello")])


def test_a_slow_tokenizer_is_refused():
    class Slow:
        is_fast = False

    with pytest.raises(InputError, match="must be a fast one"):
        Chat(Slow(), ModelSettings())


@pytest.mark.parametrize("thinking", [True, False])
def test_empty_thoughts_are_no_part_of_an_answer(thinking):
    from tiny_models import make_qwen

    from anisoalign.mllm import EmbeddingLanguageModel, ask, score
    from anisoalign.mllm.model import pad

    tokenizer = make_tokenizer(QWEN3, ("<|im_start|>", "<|im_end|>"))
    model = EmbeddingLanguageModel.from_parts(make_qwen(tokenizer), tokenizer, 16, ModelSettings(thinking=thinking))
    talk = Conversations([{"id": 1, "conversations": [TALK[0], {"from": "gpt", "value": "yes"}]}])[0]
    # What the model would say that has learned to: the labels of this answer, as far as it may go on.
    labels = model.chat.tokens(talk).labels
    said, lengths = labels[labels >= 0], []
    assert ("<think>" in tokenizer.decode(said)) == thinking

    def generate(ids, mask, rows, length):
        lengths.append(length)
        return pad([said[:length]] * len(ids), 0)

    model.generate = generate
    assert ask(model, "Is it?", np.ones(16)) == "yes"
    asked = [{"id": 1, "question": "Is it?", "answer": answer} for answer in ("yes", "no")]
    found = score(model, [*asked, {**asked[0], "kind": "exact"}]).kinds
    assert (found["yes/no"]["accuracy"], found["yes/no"]["unanswered"]) == (0.5, 0)
    assert found["exact"]["accuracy"] == 1
    assert min(lengths) >= len(said)
