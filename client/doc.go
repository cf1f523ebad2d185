/*
Package client asks a lock service over HTTP.

	locks, err := client.New("http://locks-1:3000", "http://locks-2:3000")
	if err != nil {
		return err
	}
	defer locks.Close()

The servers must share one state: the nodes of a cluster, or all that stand in
front of one Redis. The client stays with the one that answers, and goes over
to the next when it is away.

# Work under a lock

[Client.Do] is for most cases. It waits for the keys, runs the work, and gives
the keys back.

	err := locks.Do(ctx, holdfast.Keys("invoice/2031"), func(ctx context.Context, tokens []holdfast.Token) error {
		return send(ctx, invoice, tokens[0].Version)
	})

Two things make this safe. Pass on the ctx that the work is given: it ends
before anybody else can hold the keys, when the servers cannot be reached, and
with the next extension, when somebody has released them by force. And show the
version to whatever the key guards, if it can compare: versions only grow, so
that it can refuse one who comes late. A ctx can stop work, but not a packet
that is already on its way.

How to ask is said by options: [Wait] for how long to stand in line, or not at
all; [Note] for what others see who are refused; [Exp] for how long the keys
stay locked when this process dies.

	err = locks.Do(ctx, holdfast.Keys("nightly"), run, client.Wait(0), client.Note("report of "+day))
	if holdfast.ErrorCode(err) == holdfast.CodeLocked {
		return nil // another one is at it
	}

More than one may hold a key that is asked for as shared, and with a limit at
most so many:

	three := []holdfast.Ask{{Key: "gpu", Mode: holdfast.Shared, Limit: 3}}

# Holding on for longer

[Client.Hold] gives a [Held], which is extended in the background until it is
unlocked.

	held, err := locks.Hold(ctx, holdfast.Keys("shard/7"))
	if err != nil {
		return err
	}
	defer held.Unlock(ctx)
	return serve(held.Context(), held.Token("shard/7").Version)

[Held.Context] is for what may only be done while the keys are held; its cause
says why it ended: [ErrEnded], [ErrNotExtended], [ErrUnlocked], or that of the
ctx given to Hold. The end of a hold is reckoned from before the request for it
was sent, and a tenth of its exp is kept in reserve. Err and Done of that
context, and [Held.Err], compare the clock each time that they are called: a
process that was stopped, or slept with its machine, sees at once that its time
is over. A context that is derived from it hears of that only a moment later,
from a timer. So let long work look at the context it was given now and then,
or at [Held.Left], which tells how much longer it may use the hold.

Each hold is an owner of its own, so that two goroutines exclude each other
just as two machines do. ([UID] makes it otherwise.)

When a process dies, its keys stay locked until their Exp has passed. With
[Bind] they are free a few seconds after its connection has ended, however long
their Exp is.

# One leader

[Client.Election] lets several processes lead one after the other.

	election := locks.Election("scheduler", client.Note(hostname))
	for {
		lead, err := election.Campaign(ctx) // waits until it is elected
		if err != nil {
			return err
		}
		schedule(lead.Context()) // returns when the leadership is over
		lead.Unlock(ctx)
	}

[Election.Observe] follows who leads.

# The calls themselves

A [Client] is a [holdfast.Service] as well: Lock, Unlock, Extend, Check, List,
Get, Force and Watch are calls of the HTTP interface, one for one, for those who
keep tokens themselves. Refusals come back as [*holdfast.Error] with all that
the server said. [Client.Watch] outlives the loss of a server: it goes on behind
the last event seen.

Lock, Unlock, Extend and Check share one connection to each server, the stream:
what many goroutines ask at once goes out as one message, and so costs little
more than one call. Where a proxy does not let it through, each call is a
request of its own, as it always is with [Options.Plain], and the stream is
tried again now and then.

A call that gets no answer is sent again, to the next server or after a pause
that grows, for at most [Options.Patience]; if a server says when to ask again,
the client waits for so long. That is harmless: the same uid that asks again
for what it holds gets the same hold. (Force, which knows no uid, is sent again
only if it cannot have happened.) When patience is at an end, the error has
CodeUnavailable, and OutcomeUnknown says whether the last of it may have
happened all the same. It says so, too, when a server turns the call away that
another one has not answered.
*/
package client
