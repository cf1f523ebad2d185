-- force KEY REASON gives uid and version of each hold that it ended.

local k = key(ARGV[1])
tidy({k.name})
local answer = {}
for _, h in ipairs(holders(k)) do
  release(k, h, 'forced', ARGV[2])
  answer[#answer + 1], answer[#answer + 2] = h.uid, h.version
end
settle()
finish()
return answer
