-- many (KIND UID KEY VALUE NOTE)…: the short ways of many requests at once, in
-- their order. KIND is "l" to lock, and VALUE then the exp; or "u" to unlock, and
-- VALUE the version. See lock_fast.lua and unlock_fast.lua for what they do.
--
-- Gives a number for each: the version of a lock, or how many tokens an unlock
-- released; -1 for a request that is not for the short way and was left alone.

local last, names, answer = P .. 'last', {}, {}
for i = 3, #ARGV, 5 do names[#names + 1] = P .. 'k:' .. ARGV[i] end
names[#names + 1], names[#names + 2], names[#names + 3] = last, P .. 'watched', P .. 'waiters'
local got = call('MGET', unpack(names))
local n = #names - 3
local version, watched, waiters = tonumber(got[n + 1] or 0), got[n + 2], got[n + 3]
if watched then
  for i = 1, n do answer[i] = -1 end
  return answer
end

-- What is after these requests, where they change it: the hold on a key, or
-- false; the end of a young hold, or false; what goes from the old ones.
local states, young, old, index = {}, {}, {}, {}

local function lock(at, state, uid, name, exp, note)
  if state or waiters and call('EXISTS', P .. 'q:' .. uid) == 1 then return -1 end
  version = version < now and now or version + 1
  local ends = now + exp * 1000
  states[at] = '!' .. struct.pack(HOLD, version, ends, now, exp, 0, 0) .. uid .. '\0' .. note
  young[name .. '\0' .. uid] = ends
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
    old[#old + 1] = member
    index[#index + 1], index[#index + 2] = 'k' .. name, 'u' .. uid .. '\0' .. name
  end
  return 1
end

for i = 1, n do
  local at, arg = names[i], 5 * i - 4
  local state = states[at]
  if state == nil then state = got[i] end
  local step = ARGV[arg] == 'l' and lock or unlock
  answer[i] = step(at, state, ARGV[arg + 1], ARGV[arg + 2], tonumber(ARGV[arg + 3]), ARGV[arg + 4])
end

local set, del, add, rem = {}, {}, {}, {}
for at, state in pairs(states) do
  if state then
    set[#set + 1], set[#set + 2] = at, state
  else
    del[#del + 1] = at
  end
end
for member, ends in pairs(young) do
  if ends then
    add[#add + 1], add[#add + 2] = ends, member
  else
    rem[#rem + 1] = member
  end
end
if #set > 0 then
  call('MSET', last, version, unpack(set))
elseif next(states) and version > tonumber(got[n + 1] or 0) then
  call('SET', last, version)
end
if #del > 0 then call('DEL', unpack(del)) end
if #rem > 0 then call('ZREM', P .. 'young', unpack(rem)) end
if #add > 0 then call('ZADD', P .. 'young', unpack(add)) end
if #old > 0 then
  call('ZREM', P .. 'old', unpack(old))
  call('ZREM', P .. 'index', unpack(index))
end
return answer
