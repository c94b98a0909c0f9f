"""Ranks as one group: the rendezvous store and its fence, the world, what ranks exchange.

What may live here: everything that talks to other ranks, and nothing that knows what is trained.
`rendezvous` is also used by the launcher, which opens the store; it imports torch only when asked
to, because a group of one needs no store.
"""
