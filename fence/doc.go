/*
Package fence is for the resource that a key guards: it refuses a latecomer.

Between the end of a hold and the moment its old owner notices, two owners may
act; no lock service can prevent that. The resource can. Versions only grow, so
whoever shows a version older than the newest seen for its key is late, and is
answered [ErrStale].

# The check and the write are one step

A check with a write behind it stops nobody: between the two the newer owner may
come, write, and be overwritten. So everything here makes them one step:

  - in memory, [Guard.Do] runs the write while nothing else passes on the key;
  - in SQL, [DoTx] and [CheckTx] put the check into the transaction that
    writes, and [Exec] is for a row that carries its own version;
  - over HTTP, [Handler] runs a handler as Guard.Do runs a function, and
    [SetTokens] puts tokens into the request on the client's side.

Keep the versions where the data is. A Guard forgets with its process; data that
lives longer, or that several processes write, wants the SQL form.

# What the owner must do

Show the token before reading what is going to be changed, not only when
writing. A version is remembered when it is shown: an old owner who writes after
the new one has read, and before it shows its token, is not late yet, and the
new one overwrites what it never saw.

Show tokens of exclusive holds. Those who share a key hold different versions
of it, and the newest would shut out the others, who still hold it.

Versions are believed. Whoever may show a token can show one that was never
granted, and with it shut out everybody who comes after; so let only those reach
the resource who may lock.
*/
package fence
