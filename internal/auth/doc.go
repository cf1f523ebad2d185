/*
Package auth decides who may do what: the rules only, and nothing of HTTP.

A [File] lists entries. Each names somebody, says how to know them (the SHA-256
of a bearer token, or the name in a client certificate), and what they may do:
verbs on keys that begin with a prefix, of which the longest counts, and the
uids in whose name they may ask. What no grant allows is denied.

A [Keyring] keeps the entries of such a file, and takes others while it is in
use. From a bearer token or a certificate it gives a [Caller], which travels in
the ctx of a call. [Guard] puts the rules in front of a service: it is a
[holdfast.Service] itself, so that whatever brings a call there, a request or
one message of a stream, goes through the same place. It looks up the caller's
entry for each call anew, and so a token that is revoked ends what is under
way. A call without a caller is refused.

# What a refused caller may learn

Whoever may lock a key competes for it, and is told who is in the way on that
key: uid, version, what is left, and the note. A circle of owners goes over
other keys too; of it one sees only the keys that one may lock or list, and the
owners next to them. A list, and the place at which it goes on, names no key
that may not be listed.
*/
package auth
