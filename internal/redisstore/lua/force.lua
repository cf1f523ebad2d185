-- force KEY REASON gives uid and version of each hold that it ended.

local k = key(ARGV[1])
tidy({k.name})
local answer = {}
local shared = k.shared
for _, h in ipairs(holders(k)) do
  drop(k, h)
  say('forced', h, 0, ARGV[2])
  lost(h.uid)
  answer[#answer + 1], answer[#answer + 2] = h.uid, h.version
end
opened(k, shared)
settle()
finish()
return answer
