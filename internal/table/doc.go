/*
Package table is the lock table: rules 1 to 6, 8 and 9 of the service as a
deterministic state machine. It does no I/O, reads no clock, starts no
goroutine and draws no random number: the same commands in the same order
give the same state and the same outcomes on every machine, so that it can
stand behind a replicated log as well as behind a mutex.

# What the caller owes

 1. Commands one at a time. A Table is not safe for concurrent use; only a
    [Snapshot], once taken, may be written out beside the table.
 2. Requests in their normal form (see [holdfast.LockRequest.Normal]).
 3. Time. The table knows lives, not deadlines: the caller starts a clock on
    each granted and extended event, stops it on each released, expired and
    forced one, and comes back with an Expire command when it runs out.
 4. Delivery. [Outcome.Grants] names the waiters that were let in. A grant
    that cannot be delivered is undone with TakeBack; a waiter whose client
    has gone leaves with Cancel.

# Who may go

A request R of owner A is let in when, for each key that it asks and A does
not hold already in a mode that covers it, nobody is in the way:

  - Another holder is in the way if either side is exclusive; and, if R asks
    for a limit of n, so are the shared holders when they are n or more.
  - A waiter V of another owner that came earlier, and whose own hold does
    not cover what it asks of the key, counts as if it were a holder
    already. It is in the way if either side is exclusive, or if it is among
    those with whom R's limit would be reached. So is a V with a limit that
    R would fill: whoever comes later must not make V wait longer.
  - But not a V that waits, directly or through others, for something that A
    holds: it could not go first anyway, and the line must never make a
    deadlock of its own. Such a V is passed over as if it were not in line.

"Waits through others" is a relation between owners: an owner waits for
another if one of its requests in line has the other's hold, or the other's
earlier request, in its way (nobody being passed over).

After every command the table lets in whoever may go, first come first. It
does not look at the whole line for that: see settle.go.

# Deadlock

A request that would have to wait is refused if that would close a circle of
owners each of whom waits for a key that the next one holds. A limit is
reached by many holders, and each of them can make room: a circle through it
is a deadlock only if too few of them stand outside any circle. So the
search first sets aside, again and again, every owner that can still go on
once those set aside have given back what they hold; a circle among the rest
is real. Two circles are closed by no request, and are left to the end of the
waits in them: an owner that has several requests under way at once may close
one when one of them is granted; and so may one that loses, in line, a hold
which covered a part of what it asks.
*/
package table
