/*
Package holdfast is the language of a distributed lock service: its words as
types, and one interface, [Service], that everything in this module either
implements or stands on.

# The words

A client names itself with a uid and asks for some keys. What it asks of one
key is an [Ask]: the key, a [Mode], and, for a shared hold, perhaps a limit.
When every key of a [LockRequest] can be had at once, all of them become
holds in one step, the grant; until then the request may stand in line, and
is a waiter. A hold is given back with the [Token] that the grant answered:
the key and the version, a number that only grows and that the guarded
resource can use to refuse a latecomer. A hold that is neither unlocked nor
extended ends by itself when its exp has passed.

# A tour

	grant, err := service.Lock(ctx, holdfast.LockRequest{
		UID:  "billing-7",
		Keys: holdfast.Keys("invoice/2031"),
		Exp:  10 * time.Second, // how long the hold lives without being extended
		Wait: time.Minute,      // how long to stand in line; zero means not at all
		Note: "monthly run",    // shown to whoever is refused
	})

The answer is a [Grant] or an error. Whatever a Service refuses it refuses
with an [*Error], whose Code is one word for machines: with [CodeLocked] it
carries the [Blocker]s, who hold the key or stand ahead in line; with
[CodeDeadlock] the circle of owners who wait for each other. A lost answer
is harmless: the same uid that asks again for what it holds gets the same
version.

	extension, err := service.Extend(ctx, holdfast.ExtendRequest{UID: "billing-7", Exp: 10 * time.Second})
	released, err := service.Unlock(ctx, holdfast.UnlockRequest{UID: "billing-7", Tokens: grant.Tokens})

Extend without tokens is one heartbeat for everything that the uid holds.
Unlock is exact: a token of somebody else, or of an earlier hold, releases
nothing. Check, List and Get look; Force releases what somebody else holds;
Watch follows what happens.

# The rules

The ten rules stand in CONTRIBUTING.md together with the place in the code
where each one lives. The suite in internal/servicetest runs the same cases of
rules 1 to 9 over every Service, whatever keeps its state; rule 10 is for the
stores that have a disk.

# What no lock service can promise

Between the end of a hold and the moment its old owner notices, two owners
may act. Only a resource that compares versions is safe from the old one.
*/
package holdfast
