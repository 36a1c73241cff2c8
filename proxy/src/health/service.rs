use super::listen::listen;
use super::proxy::document;
use super::state::Shared;
use crate::model::{Family, ServiceName};
use axum::Router;
use axum::http::{HeaderValue, StatusCode};
use axum::routing::any;
use jiff::Timestamp;
use rustc_hash::FxHashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio_util::sync::CancellationToken;

/// The listeners of one family on which load balancers ask whether a Service has endpoints on this node.
#[derive(Debug)]
pub struct ServicePorts {
    family: Family,
    health: Shared,
    end: CancellationToken,
    services: FxHashMap<ServiceName, Open>,
}

#[derive(Debug)]
struct Open {
    port: u16,
    endpoints: Arc<AtomicUsize>,
    end: CancellationToken,
}

impl ServicePorts {
    pub fn new(family: Family, health: Shared, end: &CancellationToken) -> Self {
        Self {
            family,
            health,
            end: end.clone(),
            services: FxHashMap::default(),
        }
    }

    /// Opens, changes or closes (`None`) the port of a Service. Without addresses, it listens on all.
    ///
    /// # Errors
    /// When a port cannot be listened on; it is tried again at the next call.
    pub fn set(
        &mut self,
        service: &ServiceName,
        wanted: Option<(u16, usize)>,
        addresses: &[IpAddr],
    ) -> std::io::Result<()> {
        let Some((port, endpoints)) = wanted else {
            self.close(service);
            return Ok(());
        };
        if let Some(open) = self.services.get(service).filter(|open| open.port == port) {
            open.endpoints.store(endpoints, Ordering::Relaxed);
            return Ok(());
        }
        self.close(service);
        let any: [IpAddr; 1] = match self.family {
            Family::Ipv4 => [Ipv4Addr::UNSPECIFIED.into()],
            Family::Ipv6 => [Ipv6Addr::UNSPECIFIED.into()],
        };
        let addresses = if addresses.is_empty() { &any } else { addresses };
        let listeners = addresses
            .iter()
            .map(|ip| listen(SocketAddr::new(*ip, port)))
            .collect::<Result<Vec<_>, _>>()?;
        let open = Open {
            port,
            endpoints: Arc::new(AtomicUsize::new(endpoints)),
            end: self.end.child_token(),
        };
        for listener in listeners {
            let router = router(service.clone(), open.endpoints.clone(), self.health.clone());
            let end = open.end.clone();
            tokio::spawn(async move {
                let serving = axum::serve(listener, router).with_graceful_shutdown(end.cancelled_owned());
                if let Err(error) = serving.await {
                    tracing::warn!(%error, "a Service's health check port");
                }
            });
        }
        self.services.insert(service.clone(), open);
        Ok(())
    }

    fn close(&mut self, service: &ServiceName) {
        if let Some(open) = self.services.remove(service) {
            open.end.cancel();
        }
    }
}

fn router(service: ServiceName, endpoints: Arc<AtomicUsize>, health: Shared) -> Router {
    let answer = move || {
        let count = endpoints.load(Ordering::Relaxed);
        let healthy = health.lock().is_healthy(Timestamp::now());
        let status = if count > 0 && healthy {
            StatusCode::OK
        } else {
            StatusCode::SERVICE_UNAVAILABLE
        };
        let mut response = document(status, text(&service, count, healthy));
        response
            .headers_mut()
            .insert("x-load-balancing-endpoint-weight", HeaderValue::from(count));
        std::future::ready(response)
    };
    Router::new().fallback(any(answer))
}

/// Upstream's document, with its tabs.
fn text(service: &ServiceName, endpoints: usize, healthy: bool) -> String {
    format!(
        "{{\n\t\"service\": {{\n\t\t\"namespace\": \"{}\",\n\t\t\"name\": \"{}\"\n\t}},\n\t\"localEndpoints\": {endpoints},\n\t\"serviceProxyHealthy\": {healthy}\n}}",
        service.namespace, service.name
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::Health;
    use parking_lot::Mutex;
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    async fn get(port: u16) -> std::io::Result<String> {
        let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await?;
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    #[tokio::test]
    async fn the_port_tells_local_endpoints_and_closes_with_the_service() {
        let port = listen(SocketAddr::new(Ipv4Addr::LOCALHOST.into(), 0))
            .unwrap()
            .local_addr()
            .unwrap()
            .port();
        let end = CancellationToken::new();
        let health = Arc::new(Mutex::new(Health::new(Duration::from_secs(60))));
        let mut ports = ServicePorts::new(Family::Ipv4, health, &end);
        let service = ServiceName::new("ns", "web");
        ports.set(&service, Some((port, 2)), &[]).unwrap();
        let answer = get(port).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
        assert!(
            answer.contains("x-load-balancing-endpoint-weight: 2\r\n"),
            "{answer}"
        );
        assert!(
            answer.ends_with("{\n\t\"service\": {\n\t\t\"namespace\": \"ns\",\n\t\t\"name\": \"web\"\n\t},\n\t\"localEndpoints\": 2,\n\t\"serviceProxyHealthy\": true\n}"),
            "{answer}"
        );
        ports.set(&service, Some((port, 0)), &[]).unwrap();
        assert!(get(port).await.unwrap().starts_with("HTTP/1.1 503"));
        ports.set(&service, None, &[]).unwrap();
        for _ in 0..100 {
            if get(port).await.is_err() {
                return;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("still open");
    }
}
