-- undo UID ASKED VERSIONS FRESH (KEY RECORD)…: takes back a grant that was answered,
-- and of which its client did not hear. What follows VERSIONS is what claim or
-- lock has given for that.

-- A Redis that is full takes what comes after something that makes room.
call('DEL', P .. 'probe')

local w = {
  place = '', uid = ARGV[1], asks = readAsks(ARGV[2]), versions = ARGV[3], granted = ARGV[4], prior = {}, servers = {},
}
for i = 5, #ARGV, 2 do w.prior[ARGV[i]] = ARGV[i + 1] end
takeBack(w)
settle()
finish()
return {}
