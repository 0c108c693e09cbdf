"""Decisions: the call, its floor, its links, failover, conversation, plan. No asyncio, clock, sockets or logging."""
