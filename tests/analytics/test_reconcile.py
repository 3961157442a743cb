"""`manage.py reconcile`: a provider's export beside the ledger, and what is wrong with a file that is none."""

from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command

from accounts.access import Caller
from analytics import bills
from analytics.bills import BadBill, Figures, read_bill, same_model
from tests.analytics.ledger import record

pytestmark = pytest.mark.django_db

Write = Callable[[str], Path]
DAY, NEXT = date(2026, 11, 20), date(2026, 11, 21)

# As OpenAI and Anthropic export them.
OPENAI_COST = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,organization_id,organization_name
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,0.0030000000000000,usd,"gpt-5-2025-08-07, input",,org-1,Acme
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,0.003,usd,"gpt-5-2025-08-07, output",,org-1,Acme
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,0.00075,usd,"gpt-5-2025-08-07, cached input",,org-1,Acme
1795219200,1795305600,2026-11-21T00:00:00+00:00,2026-11-22T00:00:00+00:00,,,,,,
"""  # noqa: E501
OPENAI_COST_BY_DAY = """\
start_time,end_time,start_time_iso,end_time_iso,amount_value,amount_currency,line_item,project_id,organization_id,organization_name
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,0.0067500000000000,usd,,,org-1,Acme
"""
OPENAI_USAGE = """\
start_time,end_time,start_time_iso,end_time_iso,project_id,num_model_requests,user_id,api_key_id,model,batch,service_tier,input_tokens,output_tokens,input_cached_tokens,input_uncached_tokens
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,proj_1,1,,,gpt-5-2025-08-07,false,default,1200,300,1000,200
1795132800,1795219200,2026-11-20T00:00:00+00:00,2026-11-21T00:00:00+00:00,proj_2,1,,,gpt-5-2025-08-07,false,default,1200,300,1000,200
"""
ANTHROPIC_USAGE = """\
usage_date_utc,model_version,api_key,workspace,usage_type,context_window,usage_input_tokens_no_cache,usage_input_tokens_cache_write_5m,usage_input_tokens_cache_write_1h,usage_input_tokens_cache_read,usage_output_tokens,web_search_count,inference_geo,speed
2026-11-20,claude-haiku-4-5-20251001,key,Default,standard,≤ 200k,100,60,40,1000,300,0,global,
"""
ANTHROPIC_COST = """\
usage_date_utc,model,workspace,api_key,usage_type,context_window,token_type,cost_usd,list_price_usd,cost_type,inference_geo,speed
2026-11-20,Claude Haiku 4.5,Default,key,message,≤ 200k,input_no_cache,0.01,0.01,token,global,
2026-11-20,Claude Haiku 4.5,Default,key,message,≤ 200k,output,0.02,0.02,token,global,
"""
PLAIN = """\
Day;Model;Input tokens;Cached tokens;Output tokens;Cost
2026-11-20;gpt-5;2400;2000;600;0.00675
"""


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "bill.csv"
        path.write_text(text)
        return path

    return write


def reconciled(path: Path, *options: str) -> tuple[int, str, str]:
    """(exit status, what was printed, what was said in the end)."""
    printed = StringIO()
    try:
        call_command("reconcile", "--bill", str(path), *options, stdout=printed)
    except CommandError as error:
        return error.returncode, printed.getvalue(), str(error)
    return 0, printed.getvalue(), printed.getvalue().strip()


@pytest.fixture
def _two_of_gpt5(owner: Caller) -> None:
    """2,400 tokens in, 2,000 of them from the provider's cache, 600 out, 0.00675 USD on the first day."""
    record(owner.workspace)
    record(owner.workspace, 5)


@pytest.mark.usefixtures("_two_of_gpt5")
@pytest.mark.parametrize(
    "bill", [OPENAI_COST, OPENAI_COST_BY_DAY, OPENAI_USAGE, PLAIN], ids=["cost", "day", "usage", "plain"]
)
def test_a_bill_that_agrees(write: Write, bill: str) -> None:
    status, _, said = reconciled(write(bill), "--tolerance", "0")
    assert (status, said.endswith("all within 0%.")) == (0, True), said


@pytest.mark.parametrize("bill", [ANTHROPIC_USAGE, ANTHROPIC_COST], ids=["usage", "cost"])
def test_anthropics_names_are_the_ledgers(owner: Caller, write: Write, bill: str) -> None:
    record(
        owner.workspace, provider="claude", provider_kind="anthropic", model="claude-haiku-4-5", prompt_tokens=1200,
        cached_tokens=1000, completion_tokens=300, cost_usd=Decimal("0.0312"),
    )  # fmt: skip
    assert reconciled(write(bill))[0] == 0


@pytest.mark.usefixtures("_two_of_gpt5")
def test_differences_are_listed_by_day_and_model(owner: Caller, write: Write) -> None:
    record(owner.workspace, 60 * 24, model="gpt-5-mini", cost_usd=Decimal("0.001"))
    bill = "day,model,prompt_tokens,cost\n2026-11-20,gpt-5,2400,0.00700\n2026-11-21,gpt-4.1,10,1\n"
    status, printed, said = reconciled(write(bill))
    assert status == 1
    assert [line.split() for line in printed.splitlines()] == [
        ["day", "model", "what", "bill", "ledger", "ledger", "-", "bill"],
        ["2026-11-20", "gpt-5", "USD", "0.007", "0.00675", "-0.00025"],
        ["2026-11-21", "gpt-4.1", "prompt", "10", "0", "-10"],
        ["2026-11-21", "gpt-4.1", "USD", "1", "0", "-1"],
        ["2026-11-21", "gpt-5-mini", "prompt", "0", "1200", "1200"],
        ["2026-11-21", "gpt-5-mini", "USD", "0", "0.001", "0.001"],
    ]
    assert said == "2026-11-20 to 2026-11-21: 3 days and models, 3 of them differ by more than 0.1%."


@pytest.mark.usefixtures("_two_of_gpt5")
@pytest.mark.parametrize(("tolerance", "status"), [("0", 1), ("0.9", 1), ("1.1", 0), ("100%", 0)])
def test_the_tolerance_is_a_share(write: Write, tolerance: str, status: int) -> None:
    bill = write("day,model,cost\n2026-11-20,gpt-5,0.0068185\n")
    found, _, said = reconciled(bill, "--tolerance", tolerance)
    assert found == status
    assert ("day and model, 1 of them differs by more" in said) == bool(status)


@pytest.mark.parametrize(("cost", "status"), [("0.0149", 0), ("0.0151", 1)])
def test_what_a_bill_lost_by_rounding_is_no_difference(owner: Caller, write: Write, cost: str, status: int) -> None:
    record(owner.workspace, cost_usd=Decimal(cost))
    assert reconciled(write("day,model,cost\n2026-11-20,gpt-5,0.01\n"), "--tolerance", "0")[0] == status


@pytest.mark.usefixtures("_two_of_gpt5")
def test_only_what_the_provider_answered_is_compared(owner: Caller, stranger: Caller, write: Write) -> None:
    record(owner.workspace, cache="hit", saved_usd=Decimal("0.003375"))
    record(owner.workspace, status=404, provider="", provider_kind="", model="", prompt_tokens=0)
    record(owner.workspace, provider_kind="vllm", provider="own")
    bill = write(OPENAI_USAGE)
    assert reconciled(bill)[0] == 0

    record(owner.workspace, provider="other")
    assert reconciled(bill)[0] == 1
    assert reconciled(bill, "--provider", "openai")[0] == 0

    record(stranger.workspace)
    assert reconciled(bill, "--provider", "openai")[0] == 1
    assert reconciled(bill, "--provider", "openai", "--workspace", str(owner.workspace.pk))[0] == 0


@pytest.mark.usefixtures("_two_of_gpt5")
def test_a_period_leaves_the_rest_out(owner: Caller, write: Write) -> None:
    bill = write(PLAIN + "2026-11-21;gpt-5;1;0;0;0\n")
    assert reconciled(bill)[0] == 1
    assert reconciled(bill, "--to", "2026-11-20")[0] == 0
    assert reconciled(bill, "--from", "2026-11-21")[0] == 1


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: there is no column of days, such as day"),
        ("a,b\n1,2\n", "line 1: there is no column of days, such as day"),
        ("day,cost\n2026-11-20,1\n", "line 1: there is no column of models, such as model"),
        ("day,model\n2026-11-20,a\n", "line 1: there is no column of tokens or costs, such as prompt_tokens, "),
        ("day,model,model,cost\n", "line 1, column model: is there twice"),
        ("day,model,cost\n", "line 2: there is no line with a figure below the header"),
        ("day,model,cost\n\n2026-11-20,a\n", "line 3: has 2 cells, the header 3"),
        ("day,model,cost\n20.11.2026,a,1\n", "line 2, column day: must be a day such as 2027-01-31, not '20.11.2026'"),
        ("day,model,cost\n2026-11-20,a,1\n2026-11-20,a,much\n", "line 3, column cost: must be a number, not 'much'"),
        ("day,model,cost\n2026-11-20,a,NaN\n", "line 2, column cost: must be a number, not 'NaN'"),
        ("day,model,cost\n2026-11-20,a,1e99\n", "line 2, column cost: must be an amount in USD, not '1e99'"),
        ("day,model,tokens_in\n2026-11-20,a,-1\n", "line 2, column tokens_in: must be a number of tokens, not '-1'"),
        ("day,model,tokens_in\n2026-11-20,a,1.5\n", "line 2, column tokens_in: must be a number of tokens, not '1.5'"),
        ('day,model,cost\n2026-11-20,"a,1\n', "line 2: is no CSV: unexpected end of data"),
        (OPENAI_COST.replace(",usd,", ",eur,"), "line 2, column amount_currency: must be usd, not 'eur'"),
    ],
)
def test_a_wrong_line_is_named(write: Write, text: str, said: str) -> None:
    status, _, words = reconciled(write(text))
    assert status == 2
    assert words.startswith(said), words


def test_a_file_that_is_none(tmp_path: Path, write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(BadBill, match="cannot be read: No such file"):
        read_bill(tmp_path / "nothing.csv")
    (tmp_path / "bytes.csv").write_bytes(b"day,model,cost\n\xff\xfe")
    with pytest.raises(BadBill, match="is not text in UTF-8"):
        read_bill(tmp_path / "bytes.csv")
    monkeypatch.setattr(bills, "MAX_BYTES", 10)
    with pytest.raises(BadBill, match="is larger than"):
        read_bill(write(PLAIN))


def test_too_many_days_and_models_are_refused(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bills, "MAX_GROUPS", 2)
    lines = "".join(f"2026-11-20,{model},1\n" for model in "aabbc")
    with pytest.raises(BadBill, match="line 6: there are more than 2 days and models"):
        read_bill(write(f"day,model,cost\n{lines}"))


@pytest.mark.parametrize("options", [["--tolerance", "-1"], ["--tolerance", "a"], ["--workspace", "mine"]])
def test_a_wrong_option_is_refused(write: Write, options: list[str]) -> None:
    status, _, said = reconciled(write(PLAIN), *options)
    assert (status, said.startswith(options[0])) == (2, True)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--from", "2030-01-01"], "--to 2026-11-20 is before --from 2030-01-01."),
        (["--from", "2026-11-21", "--to", "2026-11-20"], "--to 2026-11-20 is before --from 2026-11-21."),
        (["--from", "2025-01-01", "--to", "2025-01-31"], "neither the bill nor the ledger has anything"),
    ],
)
def test_a_period_without_anything_to_compare_is_no_agreement(write: Write, options: list[str], said: str) -> None:
    status, _, told = reconciled(write(PLAIN), *options)
    assert status == 2
    assert said in told


def test_a_byte_order_mark_thousands_and_times_are_read(tmp_path: Path) -> None:
    path = tmp_path / "bill.csv"
    rows = ['2026-11-20T23:30:00-02:00,a,"1,200",$0.50', "1795219200,a,1,", "2026/11/21,a,2,-0.1"]
    path.write_text("\n".join(["date,model,prompt_tokens,cost", *rows]), encoding="utf-8-sig")
    assert read_bill(path).figures == {(NEXT, "a"): Figures(1203, None, None, Decimal("0.4"), Decimal("0.015"))}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("Claude Haiku 4.5", "claude-haiku-4-5-20251001"),
        ("Claude 3.5 Sonnet 2024-10-22", "claude-3-5-sonnet-latest"),
        ("models/gemini-2.5-pro", "gemini-2.5-pro"),
    ],
)
def test_models_have_one_name(one: str, other: str) -> None:
    assert same_model(one) == same_model(other)


@pytest.mark.parametrize(("one", "other"), [("gpt-4o", "gpt-4o-mini"), ("gpt-5", "gpt-5.1"), ("o3", "o3-pro")])
def test_different_models_stay_apart(one: str, other: str) -> None:
    assert same_model(one) != same_model(other)


def test_the_ledgers_days_are_utc(owner: Caller, write: Write) -> None:
    for moment in (datetime(2026, 11, 20, 23, 59, tzinfo=UTC), datetime(2026, 11, 21, 0, 0, tzinfo=UTC)):
        record(owner.workspace, created_at=moment)
    lines = "".join(f"{day},gpt-5,1200\n" for day in (DAY, NEXT))
    bill = write(f"day,model,prompt_tokens\n{lines}")
    assert reconciled(bill)[0] == 0
