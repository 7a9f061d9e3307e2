"""The mailbox: a command is open until every rank has answered, or one of them has failed."""

from __future__ import annotations

import asyncio

import pytest

from mimo_vl.errors import InputError
from mimo_vl.rl.actors.exchange import Command, Exchange, Reply

UPDATE, STOP = Command(kind="update"), Command(kind="stop")


def test_the_reply_is_that_of_rank_zero_when_all_ranks_have_answered() -> None:
    async def talk() -> None:
        exchange = Exchange(2)
        number = await exchange.send(UPDATE)
        await exchange.answer(number, 0, Reply(value="zero"))
        assert await exchange.reply(number, 0.01) is None
        with pytest.raises(RuntimeError, match="command 1 has no reply yet"):
            await exchange.send(STOP)
        # A rank that asks late still finds the command that it is to obey.
        assert await exchange.command(number, 1.0) == UPDATE
        await exchange.answer(number, 1, Reply(value="one"))
        assert await exchange.reply(number, 1.0) == Reply(value="zero")
        assert await exchange.send(STOP) == 2

    asyncio.run(talk())


def test_an_error_of_any_rank_is_the_reply_though_rank_zero_never_answers() -> None:
    async def talk() -> None:
        exchange = Exchange(3)
        number = await exchange.send(UPDATE)
        waiting = asyncio.create_task(exchange.reply(number, 5.0))
        await exchange.answer(number, 2, Reply())
        failure = Reply(error=InputError("prompt 7 is missing"))
        await exchange.answer(number, 1, failure)
        assert await waiting is failure

    asyncio.run(talk())


def test_an_error_wins_over_the_value_of_rank_zero() -> None:
    async def talk() -> None:
        exchange = Exchange(2)
        number = await exchange.send(UPDATE)
        failure = Reply(error=InputError("no space"))
        await exchange.answer(number, 0, Reply(value=1))
        await exchange.answer(number, 1, failure)
        assert await exchange.reply(number, 1.0) is failure

    asyncio.run(talk())
