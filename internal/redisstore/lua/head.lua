-- Every script begins with this. KEYS[1] is what the names of all keys in
-- Redis begin with. It carries the one hash tag, so that all of them live on
-- one node of a cluster:
--
--   last           string: the last number given out, as version or as place
--   k:KEY          string: the state of a key that is held or waited for; if it
--                  is held exclusively and has no line, the whole hold
--   h:KEY          hash: else its holds, by uid
--   l:KEY          sorted set: its line, by place (see line.lua)
--   young          sorted set: key .. "\0" .. uid of each hold, by its end in µs,
--                  until the hold is a second old or so. Most holds end before
--                  that, and are spared what comes next
--   old            sorted set: the same for all other holds
--   index          sorted set without scores: "k" .. key of each key that is held
--                  by an old hold or waited for, "u" .. uid .. "\0" .. key of each
--                  old hold
--   w:PLACE        hash: a waiter; also one that was let in, until it knows
--   q:UID          sorted set: places in which this owner waits
--   waiters        string: how many there are
--   wanted         hash: how many holds of each owner are on keys with a line
--   armed          set: the owners among them who wait themselves
--   servers        sorted set: servers with waiters, by when they count as dead
--   s:SERVER       set: the places that a server answers for
--   expired        string: how many holds have run out that no server was told of
--                  yet; gone after a minute
--   watched        string: the ID of the last event; there only while somebody
--                  follows events
--   probe          string: set and deleted by tick, to see whether Redis takes
--                  anything
--
-- and the channels "wake:SERVER", which carries the ticket of a call that was
-- let in, or "+" and in how many ms a hold ends, and "events". Names of keys and owners hold
-- no control characters, so that "\0" can stand between them.

local P, call = KEYS[1], redis.call

-- A hold as it is stored: version, end and beginning (µs), exp (ms), limit, and
-- a sum of 1 if it is shared, 2 if it was granted to a waiter and not asked for
-- or extended since, 4 if it is old; the note is what follows.
local HOLD = '<dddI4I4B'
