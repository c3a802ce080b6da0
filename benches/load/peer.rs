//! The proxies: what is installed is started, each on one core.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::Duration,
};

use tokio::net::TcpStream;

use crate::{
    common::free_port,
    cpu, instructions,
    options::Options,
    router,
    work::{REGIONS, Work},
};

/// A proxy at work. Ends with the value.
pub struct Running {
    pub name: String,
    pub address: SocketAddr,
    /// Whether it chooses the store by the record, or spreads what comes.
    pub routes: bool,
    child: Child,
    pids: Vec<u32>,
}

impl Running {
    /// Microseconds of CPU time so far.
    pub fn cpu(&self) -> f64 {
        cpu::spent(&self.pids)
    }

    pub fn resident(&self) -> u64 {
        cpu::resident(&self.pids)
    }

    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        // The whole family: nginx's workers outlive a killed master.
        let ids = self.pids.iter().map(u32::to_string);
        let _ = Command::new("kill")
            .args(ids)
            .stderr(Stdio::null())
            .status();
        let _ = self.child.wait();
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(None)) {
            self.end();
        }
    }
}

/// Everyone who is wanted, installed, and able to do the work.
pub async fn start(
    folder: &Path,
    work: Work,
    stores: &[SocketAddr],
    options: &Options,
) -> Vec<Running> {
    let mut all = Vec::new();
    for name in ["domicile", "nginx", "nginx-lua", "haproxy", "envoy"] {
        if !options.wants(name) {
            continue;
        }
        let folder = folder.join(format!("{name}-{}", work.name()));
        fs::create_dir_all(&folder).unwrap();
        let port = free_port();
        let command = match name {
            "domicile" => Some(domicile(&folder, work, port, stores, options)),
            "nginx" => nginx(&folder, work, port, stores, options),
            "nginx-lua" => nginx_lua(&folder, work, port, stores, options),
            "haproxy" => haproxy(&folder, work, port, stores, options),
            _ => envoy(&folder, work, port, stores),
        };
        let Some(command) = command else { continue };
        let routes = name != "nginx" && name != "envoy";
        match launch(name, command, port, routes, &folder).await {
            Some(running) => all.push(running),
            None => println!(
                "{name}: did not start; see {}",
                folder.join("output").display()
            ),
        }
    }
    all
}

/// The router alone, with its instructions counted.
pub async fn under_callgrind(
    folder: &Path,
    work: Work,
    stores: &[SocketAddr],
    options: &Options,
    output: &Path,
) -> Option<Running> {
    let port = free_port();
    let router = domicile(folder, work, port, stores, options);
    let command = instructions::command(output, router);
    launch("domicile", command, port, true, folder).await
}

async fn launch(
    name: &str,
    command: Vec<String>,
    port: u16,
    routes: bool,
    folder: &Path,
) -> Option<Running> {
    let output = fs::File::create(folder.join("output")).unwrap();
    let mut words = pinned(command).into_iter();
    let mut child = Command::new(words.next()?)
        .args(words)
        .stdout(output.try_clone().unwrap())
        .stderr(output)
        .stdin(Stdio::null())
        .spawn()
        .ok()?;
    let address = SocketAddr::from(([127, 0, 0, 1], port));
    // Long enough for a start under callgrind.
    for _ in 0..1200 {
        if TcpStream::connect(address).await.is_ok() {
            let pids = cpu::family(child.id());
            return Some(Running {
                name: name.to_owned(),
                address,
                routes,
                child,
                pids,
            });
        }
        if matches!(child.try_wait(), Ok(Some(_))) {
            break;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    print!(
        "{}",
        fs::read_to_string(folder.join("output")).unwrap_or_default()
    );
    let _ = child.kill();
    let _ = child.wait();
    None
}

/// On the first core alone, where there is another for stores and callers.
fn pinned(command: Vec<String>) -> Vec<String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 || installed("taskset").is_none() {
        return command;
    }
    let mut words = ["taskset", "-c", "0"].map(str::to_owned).to_vec();
    words.extend(command);
    words
}

fn domicile(
    folder: &Path,
    work: Work,
    port: u16,
    stores: &[SocketAddr],
    options: &Options,
) -> Vec<String> {
    let program = options
        .router
        .clone()
        .unwrap_or_else(|| env!("CARGO_BIN_EXE_domicile").to_owned());
    let config = router::write(folder, work, port, free_port(), options.workers, stores);
    vec![program, "run".to_owned(), "--config".to_owned(), config]
}

/// nginx that spreads the requests over the stores, and knows nothing of them.
fn nginx(
    folder: &Path,
    work: Work,
    port: u16,
    stores: &[SocketAddr],
    options: &Options,
) -> Option<Vec<String>> {
    if matches!(work, Work::Transfers) {
        return None;
    }
    let program = installed("nginx").or_else(|| missing("nginx", "package `nginx`"))?;
    let servers: String = stores.iter().map(|s| format!("server {s};")).collect();
    let text = format!(
        "{}http {{ {} upstream all {{ {servers} keepalive 128; keepalive_requests 1000000000; }}
         server {{ listen 127.0.0.1:{port} reuseport; location / {{ proxy_pass http://all; }} }} }}",
        nginx_head(folder, "", options.workers),
        nginx_http(folder),
    );
    Some(nginx_command(program, folder, &text))
}

/// nginx that decodes the body in Lua, and sends it where its country belongs.
fn nginx_lua(
    folder: &Path,
    work: Work,
    port: u16,
    stores: &[SocketAddr],
    options: &Options,
) -> Option<Vec<String>> {
    if matches!(work, Work::Opaque | Work::DomesticOpaque | Work::Transfers) {
        return None;
    }
    let program = installed("nginx")?;
    let modules = Path::new("/usr/lib/nginx/modules");
    let (ndk, lua) = (
        modules.join("ndk_http_module.so"),
        modules.join("ngx_http_lua_module.so"),
    );
    if !lua.exists() {
        return missing(
            "nginx-lua",
            "packages `libnginx-mod-http-lua` and `lua-cjson`",
        );
    }
    let load = format!(
        "load_module {}; load_module {};",
        ndk.display(),
        lua.display()
    );
    let mut upstreams = String::new();
    for (region, store) in REGIONS.iter().zip(stores) {
        upstreams.push_str(&format!(
            "upstream {region} {{ server {store}; keepalive 128; keepalive_requests 1000000000; }}\n"
        ));
    }
    let homes: Vec<_> = work
        .countries()
        .iter()
        .zip(REGIONS)
        .map(|(c, r)| format!("{c} = \"{r}\""))
        .collect();
    let text = format!(
        r#"{head}http {{ {http} {upstreams}
  # In place of a database: what the forwarded address would say.
  geo $http_x_forwarded_for $geo_country {{ default ""; 203.0.113.0/24 DE; 198.51.100.0/24 SG; }}
  init_by_lua_block {{ cjson = require "cjson.safe"; homes = {{ {homes} }} }}
  server {{
    listen 127.0.0.1:{port} reuseport;
    location /records {{
      set $region "";
      access_by_lua_block {{
        ngx.req.read_body()
        local record = cjson.decode(ngx.req.get_body_data() or "")
        if not record then return ngx.exit(400) end
        local country = record.user and record.user.country or ngx.var.geo_country
        local region = homes[country]
        if not region then return ngx.exit(451) end
        ngx.var.region = region
      }}
      proxy_pass http://$region;
    }}
    location /part/ {{
      internal;
      set $region $arg_region;
      proxy_pass http://$region/batch;
    }}
    location = /batch {{
      content_by_lua_block {{
        ngx.req.read_body()
        local body = ngx.req.get_body_data() or ""
        local parts, order, count = {{}}, {{}}, 0
        for line in body:gmatch("[^\n]+") do
          local record = cjson.decode(line)
          local region = record and homes[record.user.country]
          if not region then return ngx.exit(451) end
          local part = parts[region]
          if not part then part = {{}}; parts[region] = part end
          part[#part + 1] = line
          count = count + 1
          order[count] = region
        end
        local calls, names = {{}}, {{}}
        for region, lines in pairs(parts) do
          names[#names + 1] = region
          calls[#calls + 1] = {{ "/part/", {{ method = ngx.HTTP_POST, args = {{ region = region }},
            body = table.concat(lines, "\n") .. "\n" }} }}
        end
        local answers = {{ ngx.location.capture_multi(calls) }}
        local status = {{}}
        for i, name in ipairs(names) do status[name] = answers[i].status end
        local out = {{}}
        for i = 1, count do
          out[i] = '{{"index":' .. (i - 1) .. ',"status":' .. status[order[i]] .. ',"region":"' .. order[i] .. '"}}'
        end
        local text = table.concat(out, "\n") .. "\n"
        ngx.header["Content-Length"] = #text
        ngx.print(text)
      }}
    }}
  }}
}}"#,
        head = nginx_head(folder, &load, options.workers),
        http = nginx_http(folder),
        homes = homes.join(", "),
    );
    Some(nginx_command(program, folder, &text))
}

fn nginx_head(folder: &Path, load: &str, workers: usize) -> String {
    format!(
        "{load}\nworker_processes {workers}; daemon off; pid {0}/pid; error_log {0}/error.log warn;\n\
         events {{ worker_connections 16384; }}\n",
        folder.display()
    )
}

fn nginx_http(folder: &Path) -> String {
    let temporary: String = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
        .iter()
        .map(|kind| format!("{kind}_temp_path {}/{kind};\n", folder.display()))
        .collect();
    format!(
        "access_log off; keepalive_requests 1000000000; client_max_body_size 64m; client_body_buffer_size 1m;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_set_header Host $host;\n{temporary}"
    )
}

fn nginx_command(program: PathBuf, folder: &Path, text: &str) -> Vec<String> {
    let config = folder.join("nginx.conf");
    fs::write(&config, text).unwrap();
    vec![
        program.display().to_string(),
        "-c".to_owned(),
        config.display().to_string(),
        "-p".to_owned(),
        folder.display().to_string(),
    ]
}

/// HAProxy that asks `json_query` for the country. It cannot split a batch.
fn haproxy(
    folder: &Path,
    work: Work,
    port: u16,
    stores: &[SocketAddr],
    options: &Options,
) -> Option<Vec<String>> {
    if matches!(work, Work::Batch | Work::Transfers) {
        return None;
    }
    let program = installed("haproxy").or_else(|| missing("haproxy", "package `haproxy`"))?;
    let map: String = work
        .countries()
        .iter()
        .zip(REGIONS)
        .map(|(c, r)| format!("{c} {r}\n"))
        .collect();
    let homes = folder.join("homes.map");
    fs::write(&homes, map).unwrap();
    let mut text = format!(
        "global\n  nbthread {}\n  maxconn 9000\n  tune.bufsize 65536\n\
         defaults\n  mode http\n  option http-keep-alive\n  http-reuse always\n\
         \x20 timeout connect 3s\n  timeout client 75s\n  timeout server 30s\n\
         frontend in\n  bind 127.0.0.1:{port}\n",
        options.workers
    );
    if matches!(work, Work::Opaque | Work::DomesticOpaque) {
        text.push_str(&format!(
            "  use_backend %[req.hdr(x-country),map({})]\n",
            homes.display()
        ));
    } else {
        text.push_str(&format!(
            "  option http-buffer-request\n  http-request set-var(txn.home) req.body,json_query('$.user.country'),map({})\n\
             \x20 http-request deny deny_status 403 unless {{ var(txn.home) -m found }}\n  use_backend %[var(txn.home)]\n",
            homes.display()
        ));
    }
    for (region, store) in REGIONS.iter().zip(stores) {
        text.push_str(&format!("backend {region}\n  server s {store}\n"));
    }
    let config = folder.join("haproxy.cfg");
    fs::write(&config, text).unwrap();
    Some(vec![
        program.display().to_string(),
        "-f".to_owned(),
        config.display().to_string(),
    ])
}

/// Envoy that spreads the requests over the stores.
fn envoy(folder: &Path, work: Work, port: u16, stores: &[SocketAddr]) -> Option<Vec<String>> {
    if matches!(work, Work::Transfers) {
        return None;
    }
    let program = installed("envoy").or_else(|| missing("envoy", "the program `envoy`"))?;
    let endpoints: String = stores
        .iter()
        .map(|s| {
            format!(
                "        - endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {} }} }} }}\n",
                s.port()
            )
        })
        .collect();
    let text = format!(
        r#"static_resources:
  listeners:
  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - filters:
      - name: envoy.filters.network.http_connection_manager
        typed_config:
          "@type": type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: load
          route_config:
            virtual_hosts:
            - name: all
              domains: ["*"]
              routes:
              - match: {{ prefix: "/" }}
                route: {{ cluster: all }}
          http_filters:
          - name: envoy.filters.http.router
            typed_config:
              "@type": type.googleapis.com/envoy.extensions.filters.http.router.v3.Router
  clusters:
  - name: all
    connect_timeout: 3s
    load_assignment:
      cluster_name: all
      endpoints:
      - lb_endpoints:
{endpoints}"#
    );
    let config = folder.join("envoy.yaml");
    fs::write(&config, text).unwrap();
    Some(
        [
            program.to_str()?,
            "-c",
            config.to_str()?,
            "--concurrency",
            "1",
            "--disable-hot-restart",
            "-l",
            "warning",
        ]
        .map(str::to_owned)
        .to_vec(),
    )
}

pub fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    let system = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path)
        .chain(system)
        .map(|folder| folder.join(program))
        .find(|file| file.is_file())
}

fn missing<T>(proxy: &str, needs: &str) -> Option<T> {
    println!("{proxy}: left out, it needs {needs}");
    None
}
