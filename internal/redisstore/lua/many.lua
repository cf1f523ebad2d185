-- many LIMITS (KIND UID KEY VALUE NOTE)…: the short ways of many requests at once, in
-- their order. KIND is "l" to lock, and VALUE then the exp; or "u" to unlock, and
-- VALUE the version. See lock_fast.lua and unlock_fast.lua for what they do.
--
-- Gives a number for each: the version of a lock, or how many tokens an unlock
-- released; -1 for a request that is not for the short way and was left alone.

local last, names, answer = P .. 'last', {}, {}
for i = 4, #ARGV, 5 do names[#names + 1] = P .. 'k:' .. ARGV[i] end
names[#names + 1], names[#names + 2], names[#names + 3] = last, P .. 'watched', P .. 'waiters'
local got = call('MGET', unpack(names))
local n = #names - 3
local version, watched, waiters = tonumber(got[n + 1] or 0), got[n + 2], got[n + 3]
if watched then
  for i = 1, n do answer[i] = -1 end
  return answer
end

-- What is after these requests, where they change it: the hold on a key, or
-- false; the end of a young or an old hold, or false; what is in the index.
local states, young, old, index = {}, {}, {}, {}

-- What is counted for limits, these requests included.
local limits = readLimits(ARGV[1])
local total = limits and limits.holds > 0 and allHolds()
local ofUID = limits and limits.ofUID > 0 and {}
local allOld = ofUID and call('EXISTS', P .. 'young') == 0

-- Counts one hold more, unless it is too many, or perhaps too many.
local function fits(uid)
  if total and total >= limits.holds then return false end
  if ofUID then
    local n = ofUID[uid] or oldHolds(uid)
    if not allOld or n >= limits.ofUID then return false end
    ofUID[uid] = n + 1
  end
  total = total and total + 1
  return true
end

local function lock(at, state, uid, name, exp, note)
  if state or waiters and call('EXISTS', P .. 'q:' .. uid) == 1 then return -1 end
  if limits and not fits(uid) then return -1 end
  version = version < now and now or version + 1
  local ends, member = now + exp * 1000, name .. '\0' .. uid
  states[at] = '!' .. struct.pack(HOLD, version, ends, now, exp, 0, ofUID and 6 or 2) .. uid .. '\0' .. note
  if ofUID then
    old[member], index['k' .. name], index['u' .. uid .. '\0' .. name] = ends, 0, 0
  else
    young[member] = ends
  end
  return version
end

local function unlock(at, state, uid, name, token)
  if not state then return 0 end
  if state:byte() ~= 33 then return -1 end
  local its, _, _, _, _, mode, rest = struct.unpack(HOLD, state, 2)
  if its ~= token or state:sub(rest, rest + #uid) ~= uid .. '\0' then return 0 end
  states[at] = false
  local member = name .. '\0' .. uid
  if mode < 4 then
    young[member] = false
  else
    old[member], index['k' .. name], index['u' .. uid .. '\0' .. name] = false, false, false
  end
  total = total and total - 1
  if ofUID and ofUID[uid] then ofUID[uid] = ofUID[uid] - 1 end
  return 1
end

for i = 1, n do
  local at, arg = names[i], 5 * i - 3
  local state = states[at]
  if state == nil then state = got[i] end
  local step = ARGV[arg] == 'l' and lock or unlock
  answer[i] = step(at, state, ARGV[arg + 1], ARGV[arg + 2], tonumber(ARGV[arg + 3]), ARGV[arg + 4])
end

local set, del = {}, {}
for at, state in pairs(states) do
  if state then
    set[#set + 1], set[#set + 2] = at, state
  else
    del[#del + 1] = at
  end
end
-- First, since it makes room: a Redis that is full then takes the rest as well.
if #del > 0 then call('DEL', unpack(del)) end
if #set > 0 then
  call('MSET', last, version, unpack(set))
elseif next(states) and version > tonumber(got[n + 1] or 0) then
  call('SET', last, version)
end
for name, members in pairs({young = young, old = old, index = index}) do
  local add, rem = {}, {}
  for member, score in pairs(members) do
    if score then
      add[#add + 1], add[#add + 2] = score, member
    else
      rem[#rem + 1] = member
    end
  end
  if #rem > 0 then call('ZREM', P .. name, unpack(rem)) end
  if #add > 0 then call('ZADD', P .. name, unpack(add)) end
end
return answer
