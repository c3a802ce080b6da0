-- Load on a deployed router, with the load generator `wrk` (Debian: `apt install wrk`).
--
--   wrk -t2 -c64 -d30s --latency -s benches/load/wrk/records.lua http://127.0.0.1:8080 -- \
--       --path /people/wrk-%d --regions CN=cn,IN=in,RU=ru,DE=eu,SG=sg
--
-- Writes records of 1 KiB of invented people, each in its home region, and counts every answer
-- that is not 2xx or that another region than the expected one gave: there must be none. Options:
--
--   --path P       the route; %d is the subject's number           (/people/wrk-%d)
--   --method M     of the requests                                 (PUT)
--   --regions L    COUNTRY=region pairs the load is spread over    (the demo's five)
--   --subjects N   how many people there are; pinned by their first write (1000)
--   --bytes N      of a record, about                              (1024)
--   --header H     one more field for each request, `Name: value`; may stand several times

local options = {
  path = "/people/wrk-%d",
  method = "PUT",
  regions = "CN=cn,IN=in,RU=ru,DE=eu,SG=sg",
  subjects = 1000,
  bytes = 1024,
}
local headers = { ["Content-Type"] = "application/json" }

local function read_options(args)
  local at = 1
  while args[at] do
    local name, value = args[at]:match("^%-%-(%a+)$"), args[at + 1]
    if name == "header" and value then
      local field, text = value:match("^([^:]+):%s*(.*)$")
      if not field then error("--header wants `Name: value`, not `" .. value .. "`") end
      headers[field] = text
    elseif name and options[name] ~= nil and value then
      if type(options[name]) == "number" then
        value = tonumber(value) or error("--" .. name .. " wants a number, not `" .. value .. "`")
      end
      options[name] = value
    else
      error("`" .. args[at] .. "` is no option; see the head of records.lua")
    end
    at = at + 2
  end
end

local threads = {}

function setup(thread)
  thread:set("id", #threads)
  table.insert(threads, thread)
end

function init(args)
  read_options(args)
  places = {}
  for country, region in options.regions:gmatch("([%w-]+)=([%w_-]+)") do
    table.insert(places, { country = country, region = region })
  end
  if #places == 0 then error("--regions wants COUNTRY=region pairs with commas") end
  -- Without what belongs to one subject: the rest is alike in all records.
  padding = string.rep("x", math.max(0, options.bytes - 90))
  next_subject = id * 7919
  good, refused, misplaced = 0, 0, 0
  first_fault = ""
end

-- The subject's number tells the country, so that a person never moves.
function request()
  next_subject = (next_subject + 1) % options.subjects
  local place = places[next_subject % #places + 1]
  local body = string.format(
    '{"id":"wrk-%d","name":"Load Example","country":"%s","note":"%s"}',
    next_subject, place.country, padding)
  return wrk.format(options.method, options.path:format(next_subject), headers, body)
end

-- wrk does not say which request an answer belongs to, and one connection after the other asks:
-- the region must be one of those asked for, and Domicile's word must be there.
function response(status, fields, body)
  local region = fields["domicile-region"]
  if status < 200 or status > 299 then
    refused = refused + 1
    if first_fault == "" then
      first_fault = status .. " " .. (body or ""):sub(1, 300)
    end
    return
  end
  for _, place in ipairs(places) do
    if place.region == region then
      good = good + 1
      return
    end
  end
  misplaced = misplaced + 1
  if first_fault == "" then first_fault = "answered by region " .. tostring(region) end
end

function done(summary, latency, _)
  local good, refused, misplaced, fault = 0, 0, 0, ""
  for _, thread in ipairs(threads) do
    good = good + thread:get("good")
    refused = refused + thread:get("refused")
    misplaced = misplaced + thread:get("misplaced")
    if fault == "" then fault = thread:get("first_fault") end
  end
  local errors = summary.errors
  local broken = errors.connect + errors.read + errors.write + errors.timeout
  io.write(string.format(
    "%d stored where expected, %d not 2xx, %d by another region, %d broken connections\n",
    good, refused, misplaced, broken))
  io.write(string.format("p50 %.2f ms, p99 %.2f ms, p99.9 %.2f ms\n",
    latency:percentile(50) / 1000, latency:percentile(99) / 1000, latency:percentile(99.9) / 1000))
  if fault ~= "" then io.write("first fault: " .. fault .. "\n") end
  if refused + misplaced + broken > 0 or good == 0 then os.exit(1) end
end
