-- What limits need to know. They come as four numbers in one word, 0 for no limit,
-- or as "" for none at all; limits.go of the lock table says what they mean. Nothing is
-- counted for their sake but `more`: the rest is how long sorted sets are.
--
-- With a limit on the holds of a uid, those that come the short way are old from the
-- beginning, since only old ones can be counted by uid.

local function readLimits(word)
  if word == '' then return nil end
  local holds, ofUID, waitersOfUID, waitersOfKey = word:match('^(%d+) (%d+) (%d+) (%d+)$')
  return {
    holds = tonumber(holds), ofUID = tonumber(ofUID),
    waitersOfUID = tonumber(waitersOfUID), waitersOfKey = tonumber(waitersOfKey),
  }
end

-- All holds, and keys that requests in line ask.
local function allHolds()
  local got = call('MGET', P .. 'waiters', P .. 'more')
  return call('ZCARD', P .. 'young') + call('ZCARD', P .. 'old') + (got[1] or 0) + (got[2] or 0)
end

local function oldHolds(uid)
  return call('ZLEXCOUNT', P .. 'index', '[u' .. uid .. '\0', '(u' .. uid .. '\1')
end
