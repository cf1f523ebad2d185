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

-- The keys that requests in line ask for, in order, unless the index has them all.
local names, seen = {}, {}

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
  asked(waiting(uid))
elseif waited then
  for _, server in ipairs(call('ZRANGE', P .. 'servers', 0, -1)) do
    asked(call('SMEMBERS', P .. 's:' .. server))
  end
end
table.sort(names, before)

local from = before(prefix, after) and '(' .. after or '[' .. prefix

-- The next keys from there on that are in the index, at most so many.
local function indexed(most)
  if uid ~= '' then return keysOf(uid, from, most) end
  if waited then return {} end
  local got = call('ZRANGEBYLEX', P .. 'index', from:sub(1, 1) .. 'k' .. from:sub(2), '(l', 'LIMIT', 0, most)
  for i, name in ipairs(got) do got[i] = name:sub(2) end
  return got
end

local over, at = false, 1
repeat
  local got = indexed(limit + 1)
  for _, name in ipairs(got) do
    while not over and names[at] and not before(name, names[at]) do
      if names[at] ~= name then over = add(names[at]) end
      at = at + 1
    end
    over = over or add(name)
    if over then break end
    from = '(' .. name
  end
until over or #got <= limit
while not over and names[at] do
  over = add(names[at])
  at = at + 1
end
finish()
return answer
