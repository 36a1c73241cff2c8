use e2e::assets::*;
fn main() {
    let l = Layout::from_env("target/rig/assets");
    let mut w: Vec<Asset> = vec![];
    for a in std::env::args().skip(1) {
        match a.as_str() {
            "all" => {
                w.extend(Program::ALL.iter().map(|p| Asset::from(*p)));
                w.extend(Image::ALL.iter().map(|p| Asset::from(*p)));
            }
            n => {
                w.extend(
                    Program::ALL
                        .iter()
                        .filter(|p| p.name() == n)
                        .map(|p| Asset::from(*p)),
                );
                w.extend(
                    Image::ALL
                        .iter()
                        .filter(|p| format!("{}.tar", p.name()) == n)
                        .map(|p| Asset::from(*p)),
                );
            }
        }
    }
    match ensure(&l, &w, &Terminal::default()) {
        Ok(a) => println!("{:?}", a),
        Err(e) => {
            eprintln!("error: {e}");
            std::process::exit(1)
        }
    }
}
