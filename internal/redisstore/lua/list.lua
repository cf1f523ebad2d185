-- list PREFIX UID AFTER WAITED LIMIT: {1 if there are more, state…}. With WAITED
-- "1" only keys that somebody waits for.

repeat until age(1000) == 0
local prefix, uid, after, waited, limit = ARGV[1], ARGV[2], ARGV[3], ARGV[4] == '1', tonumber(ARGV[5])
local answer = {0}

local function shows(state)
  if #state[2] == 0 and #state[3] == 0 then return false end -- run out, but not swept yet
  if waited and #state[3] == 0 then return false end
  if uid == '' then return true end
  for i = 1, #state[2], 7 do
    if state[2][i] == uid then return true end
  end
  for i = 1, #state[3], 5 do
    if state[3][i] == uid then return true end
  end
  return false
end

-- Adds a key to the page, and says whether the page is over.
local function add(name)
  if name:sub(1, #prefix) ~= prefix then return before(prefix, name) end
  if after ~= '' and not before(after, name) then return false end
  local state = show(key(name))
  if not shows(state) then return false end
  if #answer > limit then
    answer[1] = 1
    return true
  end
  answer[#answer + 1] = state
  return false
end

local names, seen

-- Adds the keys that are asked for at some places.
local function asked(places)
  for _, place in ipairs(places) do
    local w = waiter(place)
    for _, a in ipairs(w and w.asks or {}) do
      if not seen[a.key] then
        seen[a.key] = true
        names[#names + 1] = a.key
      end
    end
  end
end

if uid ~= '' then
  names, seen = keysOf(uid), {}
  for _, name in ipairs(names) do seen[name] = true end
  asked(waiting(uid))
elseif waited then
  names, seen = {}, {}
  for _, server in ipairs(call('ZRANGE', P .. 'servers', 0, -1)) do
    asked(call('SMEMBERS', P .. 's:' .. server))
  end
end

if names then
  table.sort(names, before)
  for _, name in ipairs(names) do
    if add(name) then break end
  end
  finish()
  return answer
end

local from = before(prefix, after) and '(k' .. after or '[k' .. prefix
while true do
  local names = call('ZRANGEBYLEX', P .. 'index', from, '(l', 'LIMIT', 0, limit + 1)
  for _, name in ipairs(names) do
    if add(name:sub(2)) then
      finish()
      return answer
    end
    from = '(' .. name
  end
  if #names <= limit then
    finish()
    return answer
  end
end
