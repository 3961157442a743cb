"""The gates of the semantic cache: which prompts that look alike ask something else, and which are the same."""

import time

import pytest

from routing.cache.semantic.gates import refusal

DIFFERENT = {
    "number": [
        ("How long do I boil 3 eggs?", "How long do I boil 4 eggs?"),
        ("Name three rivers in Spain.", "Name five rivers in Spain."),
        ("What is 15% of 80?", "What is 50% of 80?"),
        ("Explain article 12 of the treaty.", "Explain article 21 of the treaty."),
        ("What changed in Python 3.11?", "What changed in Python 3.12?"),
        ("How far is 1,000 miles?", "How far is 10,000 miles?"),
        ("Was passierte im Jahr 1989?", "Was passierte im Jahr 1998?"),
        ("Nenne drei Flüsse.", "Nenne vier Flüsse."),
        ("Who won the twentieth election?", "Who won the twenty first election?"),
        ("When does cron run 5 4 * * 2 with my script?", "When does cron run 5 4 2 * * with my script?"),
        ("Podaj trzy miasta.", "Podaj cztery miasta."),
        ("Noem drie steden.", "Noem vier steden."),
    ],
    "unit": [
        ("How heavy is a bag of 50 kg?", "How heavy is a bag of 50 lb?"),
        ("What is 20 °C as a feeling?", "What is 20 °F as a feeling?"),
        ("How many hours until the parcel arrives?", "How many days until the parcel arrives?"),
        ("What does $100 buy?", "What does €100 buy?"),
        ("Give the height of the tower in feet.", "Give the height of the tower in metres."),
        ("A pod with 64Mi of memory, in YAML, please.", "A pod with 64Gi of memory, in YAML, please."),
        ("What is a margin of 3em relative to?", "What is a margin of 3vw relative to?"),
        (
            "He charges 80 per day for six days and two weeks. What is it?",
            "He charges 80 per week for six days and two weeks. What is it?",
        ),
        (
            "A fine of 20 for each mistake; three in four days. How much?",
            "A fine of 20 for each day of a mistake; three in four days. How much?",
        ),
        ("서울에서 8시간 걸려요?", "서울에서 8분 걸려요?"),
        (
            "A boat costs 90 per night and 10 per person. What do six pay?",
            "A boat costs 90 per person and night and 10 per person. What do six pay?",
        ),
    ],
    "name": [
        ("Who founded Microsoft and when?", "Who founded Oracle and when?"),
        ("What is the capital of Peru?", "What is the capital of Chile?"),
        ("Summarise the plot of Hamlet for me.", "Summarise the plot of Macbeth for me."),
        ("how do i cook salmon", "how do i cook cod"),
        ("How much vitamin C is in milk?", "How much vitamin D is in milk?"),
        ("东京的人口是多少", "大阪的人口是多少"),
        ("Who scored the film Gremlin?", "Who scored the film Gremlins?"),
        ("राजस्थान की राजधानी क्या है?", "केरल की राजधानी क्या है?"),
        ("Compare the Fairphone 5 Pro with mine.", "Compare the Fairphone 5 Plus with mine."),
        ("Which room has Ann?\n\nAnn 12\nBob 13\nCy 14", "In which room is Bob?\n\nAnn 12\nBob 13\nCy 14"),
    ],
    "negation": [
        ("Which foods contain gluten?", "Which foods do not contain gluten?"),
        ("Can I enter with a visa?", "Can I enter without a visa?"),
        ("Is it legal to park here?", "Is it illegal to park here?"),
        ("Why should I use an ORM?", "Why shouldn't I use an ORM?"),
        ("Welche Länder sind Mitglied?", "Welche Länder sind nicht Mitglied?"),
        ("Which of these animals can fly?", "Which of these animals cannot fly?"),
        ("How do I turn notifications on?", "How do I turn notifications off?"),
        ("Why buy a house?", "Why not buy a house?"),
        ("Welke honden kunnen zwemmen?", "Welke honden kunnen niet zwemmen?"),
        ("Какие птицы летают?", "Какие птицы не летают?"),
        ("Vilka fåglar kan flyga?", "Vilka fåglar kan inte flyga?"),
        ("Które ptaki latają bez przerwy?", "Które ptaki latają z przerwą?"),
        ("Shorten this: we can hire now but cannot raise pay.", "Shorten this: we cannot hire now but can raise pay."),
        (
            "All but Ann have paid: Ann, Bo, Cy. Who is in debt?",
            "All and also Ann have paid: Ann, Bo, Cy. Who is in debt?",
        ),
    ],
    "comparative": [
        ("What is the largest planet?", "What is the smallest planet?"),
        ("Is Paris bigger than London?", "Is London bigger than Paris?"),
        ("How do I get from Oslo to Bergen?", "How do I get from Bergen to Oslo?"),
        ("Convert hex to decimal.", "Convert decimal to hex."),
        ("Sort the rows in ascending order.", "Sort the rows in descending order."),
        ("What should I do before surgery?", "What should I do after surgery?"),
        ("How do I migrate from MySQL to Postgres?", "How do I migrate from Postgres to MySQL?"),
        ("Which phones cost less than this one?", "Which phones cost more than this one?"),
        ("Why do dogs chase cats?", "Why do cats chase dogs?"),
        ("What does climate change do to migration patterns?", "What do migration patterns do to climate change?"),
        ("Should I stretch and then run?", "Should I run and then stretch?"),
        ("Do electric cars outlast petrol cars?", "Do petrol cars outlast electric cars?"),
        ("Convert 10 miles to kilometers.", "Convert 10 km to miles."),
        ("Wie rechne ich Meter in Fuß um, mit Formel?", "Wie rechne ich Fuß in Meter um, mit Formel?"),
        (
            "I own a horse and I will buy a pony. Who eats first?",
            "I own a pony and I will buy a horse. Who eats first?",
        ),
        (
            "The judge asked the clerk for the file. Write what the clerk says.",
            "The clerk asked the judge for the file. Write what the judge says.",
        ),
    ],
    "code": [
        ("What does `a == b` do?", "What does `a = b` do?"),
        ("What does list.append(x) return?", "What does list.extend(x) return?"),
        ("Explain `for i in range(10): print(i)`", "Explain `for i in range(1): print(i)`"),
        ("Reverse a string in Python", "Reverse a string in Java"),
        ("What does git reset --soft do?", "What does git reset --hard do?"),
        ("Who may enter?\n\nif (user.banned) { stop(); }", "Who may enter?\n\nif (!user.banned) { stop(); }"),
        ("What does grep -v pattern do?", "What does grep -V pattern do?"),
        (
            "When does this rule hold?\nCond %{HOST} ^old\\. [NC]",
            "When does this rule hold?\nCond %{HOST} !^old\\. [NC]",
        ),
    ],
    "format": [
        ("List the planets as JSON.", "List the planets as YAML."),
        ("List the planets as a table.", "List the planets as bullet points."),
        ("Explain gravity briefly.", "Explain gravity in detail."),
        ("Explain gravity.", "Explain gravity in French."),
        ("Write a poem about rain.", "Write an essay about rain."),
        ("Answer in German: what is a quark?", "Answer in Spanish: what is a quark?"),
        ("Describe rust to a beginner.", "Describe rust to an expert."),
        (
            "Give me two rhymes for 'moon', each with its stress marked.",
            "Give me two rhymes for 'moon', each in a short verse.",
        ),
        (
            "Write the trip to Oslo down as a packing list only.",
            "Write the trip to Oslo down as an hour by hour plan only.",
        ),
        ("Schreibe dem Kunden in der Du-Form.", "Schreibe dem Kunden in der Sie-Form."),
    ],
    "time": [
        ("What is the weather today?", "What is the weather tomorrow?"),
        ("Who won the cup last year?", "Who won the cup this year?"),
        ("What opens on Monday?", "What opens on Sunday?"),
        ("Events in March in Rome", "Events in April in Rome"),
        ("What should I eat in the morning?", "What should I eat in the evening?"),
    ],
}
SAME = [
    ("Why isn't my tablet charging?", "Why is my tablet not charging?"),
    ("What goes with tea and coffee?", "What goes with coffee and tea?"),
    ("How far is 10km on foot?", "How far is 10 kilometers on foot?"),
    ("How do I reset my password?", "What are the steps to reset my password?"),
    ("What is the capital of France?", "Can you tell me the capital of France?"),
    ("Name three rivers in Spain.", "Name 3 rivers in Spain."),
    ("How can I remove a file in Linux?", "What is the best way to delete a file in Linux?"),
    ("What's the tallest building in the world?", "Which building is the tallest in the world?"),
    ("Why is the sky blue?", "What is the reason that the sky is blue?"),
    ("How do you boil an egg?", "Could you please explain how to boil an egg?"),
    ("What are the benefits of green tea?", "What are the advantages of green tea?"),
    ("Who wrote Pride and Prejudice?", "Who is the author of Pride and Prejudice?"),
    ("How many miles is 10 km?", "How many miles is ten kilometers?"),
    ("How do I sort a list in Python?", "In Python, how do I sort a list?"),
    ("Explain how photosynthesis works.", "How does photosynthesis work?"),
    ("What does the function `len(x)` return?", "What is returned by the function `len(x)`?"),
    ("I don't know how to tie a tie, can you help?", "I do not know how to tie a tie. Can you help me?"),
    ("Give me tips for a job interview", "Tips for a job interview, please"),
    ("What is the difference between a virus and a bacterium?", "How do a virus and a bacterium differ?"),
]


@pytest.mark.parametrize(
    ("stored", "asked"), [pair for kind in DIFFERENT.values() for pair in kind], ids=lambda text: text[:40]
)
def test_what_asks_something_else_is_refused_both_ways(stored: str, asked: str) -> None:
    assert refusal(stored, asked)
    assert refusal(asked, stored)


@pytest.mark.parametrize(("stored", "asked"), SAME, ids=lambda text: text[:40])
def test_what_asks_the_same_passes_both_ways(stored: str, asked: str) -> None:
    assert (refusal(stored, asked), refusal(asked, stored)) == ("", "")


def test_a_text_is_the_same_as_itself() -> None:
    for kind in DIFFERENT.values():
        for pair in kind:
            assert [refusal(text, text) for text in pair] == ["", ""]


def test_today_is_another_day_tomorrow() -> None:
    asked = "What is on today?"
    assert refusal(asked, asked) == ""
    assert refusal(asked, asked, same_day=False) == "moment"


def test_another_language_is_another_question() -> None:
    assert refusal("What is the capital of the country?", "Was ist die Hauptstadt von dem Land?") == "language"


@pytest.mark.parametrize(
    "text", ["", " ", "?", "\0", "a" * 2000, "1" * 2000, "(" * 2000, "日" * 2000, "-- " * 600, "🤖"]
)
def test_odd_texts_raise_nothing_and_take_no_time(text: str) -> None:
    assert refusal(text, text) == ""
    refusal(text, "What is the capital of France?")


@pytest.mark.parametrize("word", ["the ", "\u6f22\uff0c", "a b ", "x, y. "])
def test_long_prompts_of_few_words_are_compared_in_no_time(word: str) -> None:
    stored = (word * 1000)[:2000]
    began = time.process_time()
    for asked in (stored[:-1] + "q", "q " + stored[:-2], stored[:700] + " q " + stored[703:]):
        refusal(stored, asked)
    assert time.process_time() - began < 3
