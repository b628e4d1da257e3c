"""The one language-model client: OpenAI-compatible servers, answers that fit a schema, cache, ledger, budget."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from pydantic import BaseModel

from knobo.errors import BudgetError, InputError, InputTypeError, KnoboError, ModelError
from knobo.knowledge.ledger import Budget, Ledger, Price
from knobo.knowledge.llm_cache import AnswerCache, cache_key
from knobo.knowledge.llm_request import Answer, Form, Job, Prompt, Settings, guess_tokens, write_body
from knobo.knowledge.llm_run import Run, State, read_cached, run_apart
from knobo.knowledge.llm_wire import check_address

__all__ = ["Answer", "Budget", "Estimate", "LanguageModel", "Ledger", "Price", "Prompt"]

Reply = TypeVar("Reply", bound=BaseModel)


@dataclass(frozen=True)
class Estimate:
    """What a round of questions would take; an estimate, at about 4 characters a token.

    Parameters
    ----------
    calls : int
        Prompts that are not in the cache, each counted once. Repairs and retries come on top.
    cached : int
        Prompts that are.
    prompt_tokens : int
        Estimated tokens of the prompts and schemas to send.
    completion_tokens : int
        Expected tokens of the replies: as long as the replies so far, or the most that a reply may have.
    usd : float, optional
        Expected price in US dollars; None if the model has no price.
    """

    calls: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None

    def __str__(self) -> str:
        price = "no price given" if self.usd is None else f"about {self.usd:.4f} USD"
        return (
            f"Estimate at about 4 characters a token: {self.calls} calls ({self.cached} answers are in the cache), "
            f"{self.prompt_tokens} prompt tokens, {self.completion_tokens} reply tokens, {price}"
        )


class LanguageModel:
    """A language model behind an OpenAI-compatible server: OpenAI, Azure, vLLM, Ollama and others.

    The API key comes from the environment variable ``OPENAI_API_KEY`` alone; a server on this machine or network needs
    none. It is sent to ``base_url`` and is written nowhere.

    Parameters
    ----------
    model : str
        The server's name of the model.
    base_url : str, optional
        Such as ``"http://localhost:8000/v1"``. Without it ``OPENAI_BASE_URL`` is used, or else OpenAI.
    concurrency : int
        Most calls at a time in one :meth:`ask`.
    timeout : float
        Seconds that one call may take.
    max_retries : int
        How often a call is repeated after a busy or failing server, a timeout or a cut connection.
    cache : str or Path, optional
        Folder of the answers and of ``ledger.jsonl``; threads and processes may share it. Without it, answers are
        kept in memory as long as this object lives.
    budget : Budget, optional
        Hard cap on what is spent.
    price : Price, optional
        Turns tokens into US dollars.
    offline : bool
        Answer from the cache alone.
    temperature : float
        0 gives the likeliest answer.
    seed : int, optional
        Sent to the server, and makes the waiting times repeat. None sends none.
    max_tokens : int
        Longest reply, in tokens.
    progress : bool
        Show a progress bar.

    Attributes
    ----------
    model : str
        As given.
    ledger : Ledger
        What every request came to and cost.

    Raises
    ------
    InputError
        If an argument is out of range, or two of them do not go together.
    """

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        concurrency: int = 8,
        timeout: float = 60.0,
        max_retries: int = 5,
        cache: str | Path | None = None,
        budget: Budget | None = None,
        price: Price | None = None,
        offline: bool = False,
        temperature: float = 0,
        seed: int | None = 0,
        max_tokens: int = 4096,
        progress: bool = False,
    ) -> None:
        if budget is not None and budget.usd is not None and price is None:
            raise InputError("A budget in US dollars needs a price: price=Price(prompt=…, completion=…).")
        if offline and cache is None:
            raise InputError("offline=True answers from a cache: name its folder with cache=….")
        self.model, self.base_url, self.offline = model, check_address(base_url), offline
        folder = None if cache is None else Path(os.path.expanduser(cache))
        self.ledger = Ledger(model, None if folder is None else folder / "ledger.jsonl")
        self._state = State(AnswerCache(folder), self.ledger, budget)
        self._settings = Settings(
            model=model,
            address=self.base_url,
            concurrency=concurrency,
            timeout=timeout,
            max_retries=max_retries,
            max_tokens=max_tokens,
            temperature=float(temperature),
            seed=seed,
            price=price,
            progress=progress,
        )

    def __repr__(self) -> str:
        return f"LanguageModel({self.model!r}, base_url={self.base_url!r}, cache={self._place!r})"

    @property
    def _place(self) -> str | None:
        folder = self._state.cache.folder
        return None if folder is None else str(folder)

    def ask(self, prompts: Sequence[Prompt], schema: type[Reply]) -> list[Answer[Reply]]:
        """Ask many prompts at once; also works where an event loop is running, as in Jupyter.

        Parameters
        ----------
        prompts : sequence of Prompt
            Equal ones are asked once.
        schema : type of pydantic model
            Shape of the answers.

        Returns
        -------
        list of Answer
            In the order of the prompts. A prompt without a usable answer has an ``error``; it is asked again next time.

        Raises
        ------
        BudgetError
            If the next call would exceed the budget; ``error.answers`` holds what was answered.
        ModelError
            If the server refuses all calls or cannot be reached, or answers are missing with ``offline=True``.
        MissingDependencyError
            If the openai package is not installed.
        InputError
            If there is no API key, and the server is not a local one.
        FileError
            If the cache cannot be written.
        """
        jobs, answers, missing = self._look_up(prompts, schema)
        if answers:
            self.ledger.add("cached", n=len(answers))
        if missing and self.offline:
            raise ModelError(
                f"offline: {len(missing)} of {len(jobs)} prompts are not in the cache {self._place}. Run once with "
                "offline=False, or name the cache folder that holds them."
            )
        if missing:
            run = Run(self._settings, self._state, missing)
            run_apart(run.all)
            answers.update(run.answers)
            if run.stop is not None:
                raise self._stopped(run.stop, [answers.get(job.key) for job in jobs])
        return [answers[job.key] for job in jobs]

    def dry_run(
        self, prompts: Sequence[Prompt], schema: type[BaseModel], *, reply_tokens: int | None = None
    ) -> Estimate:
        """Estimate what :meth:`ask` would take, without any call.

        Parameters
        ----------
        prompts : sequence of Prompt
        schema : type of pydantic model
            Shape of the answers; an answer in the cache belongs to one shape.
        reply_tokens : int, optional
            Expected length of a reply, where the caller knows it.

        Returns
        -------
        Estimate
        """
        _, answers, missing = self._look_up(prompts, schema)
        n_prompt = sum(guess_tokens(job, write_body(job, self._settings, Form(), ())) for job in missing)
        so_far = self.ledger.totals()
        longest = self._settings.max_tokens
        mean = so_far["completion_tokens"] / so_far["calls"] if so_far["calls"] else reply_tokens or longest
        n_reply = round(len(missing) * min(mean, longest))
        price = self._settings.price
        usd = None if price is None else price.of(n_prompt, n_reply)
        return Estimate(len(missing), len(answers), n_prompt, n_reply, usd)

    def _look_up(
        self, prompts: Sequence[Prompt], schema: type[BaseModel]
    ) -> tuple[list[Job], dict[str, Answer[Any]], list[Job]]:
        """A job for each prompt, the answers in the cache by key, and each job that is missing there once."""
        prompts = [prompts] if isinstance(prompts, Prompt) else list(prompts)
        if not all(isinstance(prompt, Prompt) for prompt in prompts):
            raise InputTypeError("prompts must be a sequence of Prompt: [Prompt(system=…, user=…)].")
        shape = schema.model_json_schema()
        jobs = [Job(prompt, schema, self._key(prompt, shape)) for prompt in prompts]
        unique = {job.key: job for job in jobs}
        found = {key: read_cached(job, self._state.cache) for key, job in unique.items()}
        answers = {key: answer for key, answer in found.items() if answer is not None}
        return jobs, answers, [job for key, job in unique.items() if key not in answers]

    def _key(self, prompt: Prompt, shape: dict[str, Any]) -> str:
        """Everything that shapes an answer; the host is left out, as the same model may move to another."""
        seen: dict[str, Any] = {"images": [image.digest for image in prompt.images]} if prompt.images else {}
        if prompt.choices:
            seen["choices"] = prompt.choices
        return cache_key(
            model=self.model,
            path=urlsplit(self.base_url).path,
            system=prompt.system,
            user=prompt.user,
            version=prompt.version,
            schema=shape,
            temperature=self._settings.temperature,
            seed=self._settings.seed,
            **seen,
        )

    def _stopped(self, error: KnoboError, answers: list[Answer[Any] | None]) -> KnoboError:
        if not isinstance(error, BudgetError) or self._state.budget is None:
            return error
        budget, n_done = self._state.budget, sum(answer is not None for answer in answers)
        kept = f"the answers in {self._place} are not asked again" if self._place else "set cache= to keep the answers"
        return BudgetError(
            f"{budget} would be exceeded: {budget.spent} were spent, and {error}. {n_done} of {len(answers)} prompts "
            f"are answered. Run again with a larger budget; {kept}.",
            answers,
        )
