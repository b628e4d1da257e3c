"""One round of questions to a language model: workers, retries, repair, and the budget. See ``knobo.knowledge.llm``."""

from __future__ import annotations

import asyncio
import contextlib
import math
import random
import threading
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from tqdm.auto import tqdm

from knobo.errors import BudgetError, KnoboError, ModelError
from knobo.knowledge.ledger import Budget, Ledger
from knobo.knowledge.llm_cache import AnswerCache
from knobo.knowledge.llm_choices import check_choices, read_choices
from knobo.knowledge.llm_reply import UnusableReplyError, find_object
from knobo.knowledge.llm_request import (
    Answer,
    Form,
    Job,
    Settings,
    estimate_tokens,
    guess_tokens,
    order_json,
    write_body,
)
from knobo.knowledge.llm_wire import Failure, RawReply, Wire

LONGEST_WAIT = 120.0  # seconds; a server that asks for more ends the run
_FIRST_MARGIN, _LATER_MARGIN = 1.5, 1.1  # over the estimate, before and after the server has counted tokens
_LONGEST_DELAY = 30.0
_MOST_IN_A_ROW = 3  # prompts that fail one after the other before the server counts as down
_KEPT = "answers that came in are in the cache"
_LONGEST_ECHO = 4000  # characters of an unusable reply that the model is shown again

Result = TypeVar("Result")


@dataclass
class State:
    """What a model remembers between rounds; threads share it."""

    cache: AnswerCache
    ledger: Ledger
    budget: Budget | None
    form: Form = field(default_factory=Form)
    in_flight: dict[tuple[str, type[BaseModel]], Future[Answer[Any] | None]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    n_failed_in_a_row: int = 0
    token_ratio: float | None = None  # the worst of counted over estimated tokens
    first_delay: float = 0.5
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep


class _PromptError(Exception):
    """One prompt gets no answer; the others may."""


def run_apart(main: Callable[[], Coroutine[Any, Any, Result]]) -> Result:
    """Run a coroutine in a thread of its own, as the caller's may have a running loop. Ctrl-C cancels it."""
    result: Future[Result] = Future()
    running: list[tuple[asyncio.AbstractEventLoop, asyncio.Task[Any] | None]] = []

    async def watched() -> Result:
        running.append((asyncio.get_running_loop(), asyncio.current_task()))
        return await main()

    def work() -> None:
        try:
            result.set_result(asyncio.run(watched()))
        except BaseException as error:
            result.set_exception(error)

    thread = threading.Thread(target=work, name="knobo-llm", daemon=True)
    thread.start()
    try:
        return result.result()
    finally:
        if running and not result.done() and running[0][1] is not None:
            with contextlib.suppress(RuntimeError):
                running[0][0].call_soon_threadsafe(running[0][1].cancel)
        thread.join()


def read_cached(job: Job, cache: AnswerCache) -> Answer[Any] | None:
    """The answer in the cache; None if there is none that fits the schema."""
    entry = cache.get(job.key)
    if entry is None:
        return None
    try:
        value = job.schema.model_validate_json(entry["text"])
        return Answer(value, cached=True, choices=check_choices(entry.get("choices")))
    except ValidationError:
        return None


class Run:
    """Asks the prompts of one round that are not in the cache.

    Parameters
    ----------
    settings : Settings
    state : State
    jobs : sequence of Job
        With distinct keys.
    """

    def __init__(self, settings: Settings, state: State, jobs: Sequence[Job]) -> None:
        self.settings, self.state = settings, state
        self.answers: dict[str, Answer[Any]] = {}
        self.stop: KnoboError | None = None
        self._pending = deque(jobs)
        self._wire = Wire(settings.address, settings.timeout)

    async def all(self) -> None:
        """Ask until all are answered, or until something stops the round; calls under way are finished first."""
        n_workers = min(self.settings.concurrency, len(self._pending))
        with tqdm(total=len(self._pending), desc="Asking", disable=not self.settings.progress) as bar:
            async with self._wire:
                workers = [asyncio.ensure_future(self._work(bar)) for _ in range(n_workers)]
                try:
                    await asyncio.gather(*workers)
                finally:
                    for worker in workers:
                        worker.cancel()
                    await asyncio.gather(*workers, return_exceptions=True)

    async def _work(self, bar: tqdm[Any]) -> None:
        while self._pending and self.stop is None:
            job = self._pending.popleft()
            try:
                self.answers[job.key] = await self._once(job)
            except KnoboError as error:
                self.stop = self.stop or error
            bar.update()

    async def _once(self, job: Job) -> Answer[Any]:
        """Ask, or wait for the thread that asks the same at this moment."""
        state, name = self.state, (job.key, job.schema)
        while True:
            with state.lock:
                other = state.in_flight.get(name)
                mine = state.in_flight.setdefault(name, Future())
            if other is None:
                break
            if (answer := await asyncio.shield(asyncio.wrap_future(other))) is not None:
                return answer
        answer = None
        try:
            answer = read_cached(job, state.cache) or await self._ask(job)
        finally:
            with state.lock:
                del state.in_flight[name]
            mine.set_result(answer)
        return answer

    async def _ask(self, job: Job) -> Answer[Any]:
        """Ask, and once more if the reply is unusable."""
        dialogue: list[dict[str, str]] = []
        problem = ""
        for reason in ("", "repair"):
            try:
                reply = await self._call(job, dialogue, reason)
            except _PromptError as error:
                return Answer(None, str(error))
            if reply.refusal:
                return Answer(None, f"{self.settings.model} refuses to answer: {reply.refusal}", refused=True)
            try:
                text = find_object(self._wire.clean(find_object(reply.text or "", job.schema)), job.schema)
            except UnusableReplyError as error:
                problem = self._wire.clean(str(error)) if reply.text else "it was empty"
            else:
                choices = read_choices(text, reply.tokens, job.prompt.choices)
                facts = {"model": self.settings.model, "version": job.prompt.version}
                self.state.cache.put(job.key, text, **facts, **({"choices": list(choices)} if choices else {}))
                return Answer(job.schema.model_validate_json(text), choices=choices)
            if reply.finish == "length":
                limit = f"max_tokens={self.settings.max_tokens}"
                return Answer(None, f"The reply was cut off at {limit}. Ask for less at once, or raise max_tokens.")
            if reply.finish == "content_filter":
                withheld = "The provider's content filter withheld the reply. Change the prompt."
                return Answer(None, withheld, refused=True)
            note = f"That reply cannot be used: {problem}. {order_json(job.schema)}"
            echo = [{"role": "assistant", "content": reply.text[:_LONGEST_ECHO]}] if reply.text else []
            dialogue = [*echo, {"role": "user", "content": note}]
        return Answer(None, f"{self.settings.model} gave no usable reply, asked twice: {problem}. Try another model.")

    async def _call(self, job: Job, dialogue: Sequence[dict[str, str]], reason: str) -> RawReply:
        """One reply, however many requests it takes."""
        state = self.state
        first = form = state.form
        n_failed = 0
        while True:
            outcome, cost = await self._request(job, dialogue, form)
            if isinstance(outcome, RawReply):
                state.ledger.add("answer", reason=reason, key=job.key[:16], **cost)
                state.form = state.form if form is first else form
                state.n_failed_in_a_row = 0
                return outcome
            simpler = form.simpler(outcome.detail) if outcome.status in (400, 422) else None
            n_failed += simpler is None
            wait = 0.0 if simpler else self._delay(job, n_failed, outcome)
            again = bool(simpler) or (outcome.retry and n_failed <= self.settings.max_retries and wait <= LONGEST_WAIT)
            state.ledger.add("retry" if again else "failure", reason=outcome.reason, key=job.key[:16], **cost)
            if not again:
                raise self._explain(outcome, n_failed, wait)
            form = simpler or form
            if wait:
                await state.sleep(wait)

    async def _request(
        self, job: Job, dialogue: Sequence[dict[str, str]], form: Form
    ) -> tuple[RawReply | Failure, dict[str, Any]]:
        """One request within the budget, and what it cost."""
        body = write_body(job, self.settings, form, dialogue)
        guess, ticket = guess_tokens(job, body), object()
        await self._reserve(ticket, guess)
        outcome: RawReply | Failure = Failure("interrupted", sent=True)
        start = time.perf_counter()
        try:
            outcome = await self._wire.send(body)
        finally:
            cost = {**self._cost(outcome, guess), "seconds": round(time.perf_counter() - start, 4)}
            if self.state.budget is not None:
                self.state.budget.settle(ticket, cost["prompt_tokens"] + cost["completion_tokens"], cost["usd"] or 0.0)
            if isinstance(outcome, Failure) and outcome.reason == "interrupted":
                self.state.ledger.add("failure", reason=outcome.reason, key=job.key[:16], **cost)
        return outcome, cost

    async def _reserve(self, ticket: object, guess: int) -> None:
        """Set the most that a request may cost aside, or wait until the calls under way show what is left."""
        if self.stop is not None:
            raise self.stop
        budget, price, longest = self.state.budget, self.settings.price, self.settings.max_tokens
        if budget is None:
            return
        seen = self.state.token_ratio
        n_prompt = math.ceil(guess * (_FIRST_MARGIN if seen is None else max(_LATER_MARGIN * seen, 1.0)))
        usd = price.of(n_prompt, longest) if price else 0.0
        while (fits := budget.reserve(ticket, n_prompt + longest, usd)) is None:
            await asyncio.sleep(0.01)
            if self.stop is not None:
                raise self.stop
        if not fits:
            raise BudgetError(f"a call may take {n_prompt + longest} tokens")

    def _cost(self, outcome: RawReply | Failure, guess: int) -> dict[str, Any]:
        """Tokens and money of a request; a reply that was lost counts in full, one that was refused counts nothing."""
        price = self.settings.price
        if isinstance(outcome, Failure):
            n_prompt, n_reply = (guess, self.settings.max_tokens) if outcome.sent else (0, 0)
            estimated = outcome.sent
        else:
            counted = outcome.prompt_tokens, outcome.completion_tokens
            estimated = None in counted
            n_prompt = guess if counted[0] is None else counted[0]
            n_reply = estimate_tokens(outcome.text or "") if counted[1] is None else counted[1]
            if not estimated:
                self.state.token_ratio = min(max(self.state.token_ratio or 0.0, n_prompt / guess), 50.0)
        usd = price.of(n_prompt, n_reply) if price else None
        return {"prompt_tokens": n_prompt, "completion_tokens": n_reply, "estimated": estimated, "usd": usd}

    def _delay(self, job: Job, n_failed: int, failure: Failure) -> float:
        """Seconds to wait: what the server asks for, else twice as long each time, with a jitter that repeats."""
        if failure.wait is not None:
            return failure.wait
        jitter = random.Random(f"{self.settings.seed}:{job.key}:{n_failed}").uniform(0.5, 1.0)
        return min(self.state.first_delay * 2 ** (n_failed - 1), _LONGEST_DELAY) * jitter

    def _explain(self, failure: Failure, n_tries: int, wait: float) -> ModelError | _PromptError:
        """The error of a prompt, or of the whole round where the other prompts would fail as well."""
        if failure.about_prompt:
            return _PromptError(f"The server refuses this prompt ({failure}). Shorten or change it.")
        if failure.retry and wait > LONGEST_WAIT:
            where = self.settings.address
            return ModelError(f"{where} asks to wait {wait:.0f} s ({failure}). Run again later; {_KEPT}.")
        if failure.retry and failure.reason != "no connection":
            self.state.n_failed_in_a_row += 1
            if self.state.n_failed_in_a_row < _MOST_IN_A_ROW:
                return _PromptError(f"No reply in {n_tries} tries ({failure}). Ask again later.")
        return ModelError(explain(failure, self.settings, n_tries))


def explain(failure: Failure, settings: Settings, n_tries: int) -> str:
    """What ended a round, and the way out."""
    where, model = settings.address, settings.model
    if failure.reason == "no connection":
        return f"Cannot reach {where} ({n_tries} tries). Is the server running, and is base_url right?"
    if failure.status == 401:
        return f"{where} refuses the API key ({failure}). Set the environment variable OPENAI_API_KEY to a valid one."
    if failure.status == 403:
        return (
            f"{where} does not allow this ({failure}). Ask the provider for access to {model!r}, or use another model."
        )
    if failure.status == 404:
        return (
            f"{where} knows no model {model!r} or has no such address ({failure}). Check the model's name, and that "
            "base_url ends as the server wants it, mostly in /v1."
        )
    if failure.reason == "no chat completion":
        return f"{where} is no OpenAI-compatible server: {failure.detail}. base_url mostly ends in /v1."
    if failure.status == 429 and not failure.retry:
        return f"The quota at {where} is used up ({failure}). Top up the account, or use another model; {_KEPT}."
    if failure.retry:
        return (
            f"{where} gives no answers: the last {_MOST_IN_A_ROW} prompts failed, each in {n_tries} tries ({failure}). "
            f"Wait, lower concurrency, or raise timeout; {_KEPT}."
        )
    return f"{where} rejects the request for {model!r} ({failure}). Change what it names, then run again; {_KEPT}."
