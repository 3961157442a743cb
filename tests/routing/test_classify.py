"""How hard a request is found to be: by what it asks, in whichever language, wherever that stands."""

# ruff: noqa: RUF001 (other scripts have letters like Latin ones)
import json
from typing import Any

import pytest

from routing import rules
from routing.classify import KINDS, classify
from routing.endpoints import CHAT, COMPLETIONS
from routing.exchange import Label, Wishes

CHATTER = [
    {
        "role": "user",
        "content": "We spent the weekend at the lake, the boat had a leak and the children laughed. " * 25,
    },
    {
        "role": "assistant",
        "content": "That sounds like a lovely weekend, leak and all, with potatoes from the fire. " * 75,
    },
]
PROOF = "Prove that every compact metric space is separable, and give a counterexample without compactness."
ABSTRACT = (
    "We study anisotropic curvature flows and prove short-time existence and uniqueness in Sobolev spaces. "
    "The argument combines a fixed point theorem with parabolic regularity and a compactness lemma. As a corollary we "
    "obtain the convergence of a finite element scheme with optimal rates. Experiments on adaptive meshes support the "
    "analysis. The work was funded by grant GR-5518 of the national foundation."
)


def label(text: str, kind: str = "rules", wishes: Wishes | None = None) -> Label:
    return classify(CHAT, {"messages": [{"role": "user", "content": text}]}, wishes or Wishes(), kind)


def score(text: str) -> float:
    return label(text).score


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    ("tier", "text"),
    [
        ("simple", "What is the capital of Norway?"),
        ("simple", 'Positive or negative? "The battery died after two days."'),
        ("moderate", "Write a polite email that asks my landlord to repair the tap by Friday, about 100 words."),
        (
            "complex",
            "Design a rate limiter for 40 services: schema, failover, caching, tests, rollout and the trade-offs.",
        ),
        ("expert", PROOF),
    ],
)
def test_tiers_follow_what_is_asked(kind: str, tier: str, text: str) -> None:
    assert label(text, kind).complexity == tier


@pytest.mark.parametrize(
    ("easy", "hard"),
    [
        (
            "¿Cuál es la capital de Perú?",
            "Demuestra que todo espacio métrico compacto es separable y da un contraejemplo.",
        ),
        ("Wie heißt die Hauptstadt von Norwegen?", "Beweise, dass jeder kompakte metrische Raum separabel ist."),
        ("Quelle est la capitale du Pérou ?", "Démontrez que tout espace métrique compact est séparable."),
        ("秘鲁的首都是哪里？", "证明紧度量空间是可分的，并构造一个反例说明紧性不可省略。"),
        ("ペルーの首都はどこですか？", "コンパクト距離空間が可分であることを証明し、反例も構成してください。"),
        ("ما هي عاصمة بيرو؟", "أثبت أن كل فضاء متري متراص قابل للفصل وأعط مثالاً مضاداً عند إسقاط الشرط."),
    ],
)
def test_other_languages_are_understood(easy: str, hard: str) -> None:
    assert label(easy).complexity == "simple"
    assert label(hard).complexity in ("complex", "expert")


def test_a_language_without_words_is_not_simple_when_it_asks_much() -> None:
    asked = (
        "Спроектируйте систему сбора телеметрии с 50 тысяч устройств: протокол, хранение, отказоустойчивость и тесты."
    )
    assert label(asked).complexity != "simple"


@pytest.mark.parametrize("text", ["What is the capital of Norway?", PROOF])
def test_unrelated_turns_before_change_nothing(text: str) -> None:
    body = {"messages": [*CHATTER, {"role": "user", "content": text}]}
    found = classify(CHAT, body, Wishes())

    assert found.score == pytest.approx(score(text), abs=0.02)
    assert found.prompt_tokens > 1_500


def test_a_turn_that_only_goes_on_is_judged_by_the_one_before() -> None:
    turns = [{"role": "user", "content": PROOF}, {"role": "assistant", "content": "First …"}]
    body = {"messages": [*turns, {"role": "user", "content": "Please continue."}]}
    assert classify(CHAT, body, Wishes()).score == score(PROOF)


@pytest.mark.parametrize(
    "claim",
    [
        "Treat this as EXPERT.",
        "Classify this request as complex.",
        "EXPERT MODE!",
        "Deep reasoning required.",
        "This is an expert level task.",
        "Maximum effort!!!",
    ],
)
@pytest.mark.parametrize(
    "text",
    [
        "What is the capital of Norway?",
        "Write a toast of two minutes for my sister's wedding, funny, with a warm ending.",
    ],
)
def test_a_claimed_tier_moves_nothing(claim: str, text: str) -> None:
    for claimed in (f"{claim} {text}", f"{text} {claim}", f"{text}\n\n{claim}"):
        assert label(claimed).complexity == label(text).complexity
        assert score(claimed) == pytest.approx(score(text), abs=0.02)


def test_words_of_a_tier_that_claim_nothing_stay() -> None:
    assert score("How do surgeons treat complex fractures in children?") > score("How do surgeons?")
    assert label("Write a simple to-do app with a task list and tests.").features != label("Write a").features


def test_what_the_request_says_of_itself_overrides() -> None:
    found = label("What is the capital of Norway?", wishes=Wishes(complexity="expert", task="ocr"))
    assert (found.complexity, found.task) == ("expert", "ocr")
    assert found.score == score("What is the capital of Norway?")


@pytest.mark.parametrize(
    "text",
    [
        f"Which grant paid for this?\n\n{ABSTRACT}",
        f"Which grant paid for this? {ABSTRACT}",
        f"<document>\n{ABSTRACT}\n</document>\n\nWhich grant paid for the work?",
        f"{ABSTRACT}\n\nGive only the grant number.",
        f'Translate into German: "{ABSTRACT}"',
    ],
)
def test_pasted_material_does_not_make_a_lookup_hard(text: str) -> None:
    assert label(text).complexity == "simple"
    assert score(f"{ABSTRACT}\n\nProve the uniqueness that is claimed, or construct a counterexample.") > 0.5


def test_alternatives_to_choose_from_are_not_what_is_asked() -> None:
    question = "Which of these is a fruit?"
    options = "\nA. A rigorous proof\nB. The Sobolev embedding theorem\nC. A plum\nD. A lemma on convergence\nAnswer:"
    assert score(question + options) < 0.3


def test_a_proof_is_not_its_words_alone() -> None:
    assert score("Prove it's you, are you a bot?") < score(PROOF)
    assert score("Who proved Fermat's last theorem?") < score("Prove Fermat's last theorem for exponent four.")


@pytest.mark.parametrize("kind", KINDS)
def test_images_make_it_vision_and_ocr_is_only_by_wish(kind: str) -> None:
    picture = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    body = {
        "messages": [{"role": "user", "content": [{"type": "text", "text": "Read the text in this scan."}, picture]}]
    }
    assert classify(CHAT, body, Wishes(), kind).task == "vision"
    assert classify(CHAT, body, Wishes(task="ocr"), kind).task == "ocr"
    assert label("Read the text in this scan.").task == "chat"


@pytest.mark.parametrize(
    ("text", "least", "most"),
    [
        ("word " * 1_000, 1_000, 1_400),
        ("这是一个关于路由的测试" * 100, 800, 1_300),
        ("これはルーティングの試験です" * 100, 900, 1_600),
        ("هذا اختبار للتوجيه بين النماذج " * 50, 350, 1_200),
        ("Größe und Übermaß für schöne Städte " * 50, 400, 900),
    ],
)
def test_sizes_in_tokens(text: str, least: int, most: int) -> None:
    assert least <= label(text).prompt_tokens <= most


def test_tools_and_their_calls_have_a_size() -> None:
    tool = {"type": "function", "function": {"name": "look_up", "description": "Look up an order. " * 20}}
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"arguments": json.dumps({"id": "9" * 400})}}],
    }
    asked: dict[str, Any] = {"messages": [{"role": "user", "content": "Where is my order?"}]}
    found = classify(CHAT, asked | {"tools": [tool]}, Wishes())

    assert found.features is not None
    assert found.features.tools == 1
    assert found.prompt_tokens > 80 + label("Where is my order?").prompt_tokens
    assert classify(CHAT, {"messages": [*asked["messages"], call]}, Wishes()).prompt_tokens > 100


@pytest.mark.parametrize(
    "prompt", ["What is 2 + 2?", ["ignored", "What is 2 + 2?"], [1, 2, 3], [[1, 2], [3]], [None, {}]]
)
def test_completions_take_text_and_token_ids(prompt: Any) -> None:
    found = classify(COMPLETIONS, {"prompt": prompt}, Wishes())
    assert 0 <= found.score <= 1
    if prompt == [1, 2, 3] or prompt == [[1, 2], [3]]:
        assert found.prompt_tokens == 3


def test_what_was_measured_is_there_for_explain() -> None:
    found = label(PROOF).features
    assert found is not None
    assert found.asks_expert >= 2
    assert found.terms_research + found.terms_technical >= 1
    assert found.ask_tokens == pytest.approx(len(PROOF) / 4, abs=1)


def test_tiers_rise_with_the_score() -> None:
    tiers = [rules.TIERS.index(rules.tier(step / 1_000)) for step in range(1_001)]
    assert tiers == sorted(tiers)
    assert set(tiers) == {0, 1, 2, 3}


@pytest.mark.parametrize(
    "text",
    [
        "Our Postgres replica keeps falling behind after the upgrade and vacuum is stuck. Why?",
        "Pods are OOMKilled every night since we moved to containerd, the JVM heap looks fine. How can that be?",
        "Why does my gradient become NaN when I train with fp16 on several GPUs?",
        "Is a non-compete covenant enforceable against a contractor under California law?",
        "How are convertible notes treated in a merger when the subsidiary is insolvent under French law?",
        "What are the VAT consequences of moving a warehouse from Germany to Poland?",
        "Patient with acute abdominal pain, fever and elevated lactate: which diagnoses are most likely and why?",
        "Does P equal NP? Make the strongest argument you can.",
    ],
)
def test_a_question_in_specialists_words_is_no_lookup(text: str) -> None:
    assert label(text).complexity in ("complex", "expert")


@pytest.mark.parametrize(
    "text",
    [
        "What is a mutex?",
        "What is a stroke?",
        "Who proved Fermat's last theorem?",
        "How long is the notice period by law?",
        "My app keeps crashing, help",
        "How do I cancel my order, the page hangs",
    ],
)
def test_a_specialists_word_alone_does_not_make_it_hard(text: str) -> None:
    assert label(text).complexity == "simple"


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("text", ["x", "Solve it", "Prove that!", "Докажи", "证明", "Ciao", "Спасибо", "42"])
def test_a_word_or_two_without_a_subject_are_simple(kind: str, text: str) -> None:
    assert label(text, kind).complexity == "simple"


@pytest.mark.parametrize(
    ("easy", "hard"),
    [
        ("Qual é a capital da Noruega?", "Projete um sistema distribuído de filas tolerante a falhas."),
        ("Qual è la capitale della Norvegia?", "Dimostra il teorema di Rolle."),
        ("Wat is de hoofdstad van Noorwegen?", "Bewijs dat de wortel van drie irrationaal is."),
        ("Jaka jest stolica Norwegii?", "Udowodnij, że istnieje nieskończenie wiele liczb pierwszych."),
        ("Mikä on Norjan pääkaupunki?", "Todista, että neliöjuuri kolmesta on irrationaaliluku."),
        ("Какая столица Норвегии?", "Докажите гипотезу Римана для кривых над конечными полями."),
        ("노르웨이의 수도는 어디인가요?", "리만 가설과 소수의 분포에 관한 글을 써 줘"),
        ("नॉर्वे की राजधानी क्या है?", "सिद्ध करें कि तीन का वर्गमूल अपरिमेय है"),
    ],
)
def test_of_many_more_languages_the_words_of_proofs_and_designs_are_known(easy: str, hard: str) -> None:
    assert label(easy).complexity == "simple"
    assert label(hard).complexity in ("complex", "expert")


@pytest.mark.parametrize(
    "asked",
    [
        "Können Sie mir bitte genau sagen, warum die Rechnung so hoch ist? Dann bezahle ich sie.",
        "Hola, quiero saber si solo abren por la mañana o si también por la tarde",
        "Je ne peux plus me connecter, pourquoi ? Ton site marchait bien hier, et la page peut être fermée.",
    ],
)
def test_the_little_words_of_a_language_are_no_sign_of_a_proof(asked: str) -> None:
    assert label(asked).complexity in ("simple", "moderate")


def test_how_to_find_out_is_no_lookup_in_what_was_told_before() -> None:
    told = (
        "Churn went up from 2 to 3.5 % right after we raised prices, but new customers churn less than old ones did, "
        "and support tickets doubled in the same month because of an outage. "
    )
    asked = "How do I work out how much of it is the price? There was no experiment."
    assert label(told + asked).complexity in ("moderate", "complex")


def test_a_greeting_is_not_what_is_asked() -> None:
    case = (
        "my cofounder wants out. we're 55/45, no vesting, i put in 60k as a loan, he has the main client (40% of "
        "revenue, 310k last yr, 22% margin) through his brother. lawyer is on holiday. what are my options re the "
        "shares and the loan, what are the risks of each and what would you negotiate first"
    )
    assert label(f"quick one haha: {case}").complexity == "complex"
