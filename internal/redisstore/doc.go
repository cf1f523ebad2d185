/*
Package redisstore is the lock service over a Redis that any number of servers
share. All state is in Redis; a server keeps only the requests that wait at it.

# Where the rules are

Each operation is one Lua script, put together from the files in lua/ (see
scripts.go for which script takes which), so that Redis carries it out in one
step. While it does, it serves nobody else: no script may look at all that there
is for the sake of one. keys.lua holds and keys, line.lua the lines, rules.lua
rules 1 to 4, deadlock.lua rule 8, settle.lua letting in whoever may go,
limits.lua and lock_limits.lua how much there may be. They follow internal/table,
and a test gives both the same random commands and compares all that comes of
them. head.lua lists what is stored.

Two scripts begin with a short way, lock_fast.lua and unlock_fast.lua, which
does all there is to do when nobody is in the way and nobody waits. When many
requests come at once they take it together, in one script (see many.go).

# A request that waits

It stands in line in Redis, and each server that has a client waiting for it
answers for its place, under a ticket, the server's own number for the request.
When it is let in, the script sends the ticket on the channel of each of these
servers: one message, to those whom it concerns. The server then claims the
grant, before it tells its client. A grant that is not claimed is taken back
when the client has gone or the server counts as dead, unless the owner has
asked for it again by then; and so is one whose client went while it was claimed.

Messages can be lost, so each server compares, now and then and whenever its
subscription begins anew, what Redis says it answers for with the requests that
really wait here (see reconcile): what is missing on either side is put right.

# Time

Holds end by the clock of Redis. Scripts end what has run out on the keys that
they touch; and each server's keeper wakes when the next hold ends, as far as
it knows, and once a second, and ends what has run out anywhere. How many
servers do so does not matter.
*/
package redisstore
