-- extend UID EXP (KEY VERSION)… gives the ms left of the first to end, and then
-- which of the tokens were extended, by number.
--
-- extend UID EXP AFTER extends what UID holds, in the order of key, from behind the key
-- AFTER on. It gives the ms left, the key to go on behind, or "" if that was all, and
-- keys and versions. Very many at once would keep Redis busy for seconds.

-- A Redis that is full takes what comes after something that makes room, and no
-- owner shall lose a hold because it is full.
call('DEL', P .. 'probe')

local uid, exp = ARGV[1], tonumber(ARGV[2])
local all = #ARGV == 3
local answer, ends = {0}, math.huge
local PAGE = 1000
local names = {}
if all then
  sweep(64)
  names = keysOf(uid, '(' .. ARGV[3], PAGE)
  answer[2] = names[PAGE] or ''
else
  for i = 3, #ARGV, 2 do names[#names + 1] = ARGV[i] end
end

for i, name in ipairs(names) do
  local k = key(name)
  local h = hold(k, uid)
  if h and h.deadline > now and (all or h.version == tonumber(ARGV[2 * i + 2])) then
    prolong(k, h, exp, '')
    ends = math.min(ends, h.deadline)
    answer[#answer + 1] = all and name or i
    if all then answer[#answer + 1] = h.version end
  end
end
if ends < math.huge then
  answer[1] = math.floor((ends - now) / 1000)
end
finish()
return answer
