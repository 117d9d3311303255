//! A source archive of the committed tree: `dist/zokor-VERSION.tar.gz` and its checksum.

use crate::Outcome;
use std::path::Path;
use std::process::Command;

/// Packs what is committed; uncommitted changes are an error, so that an archive always has a commit.
pub fn run(root: &Path, _args: &[String]) -> Outcome {
    let version = env!("CARGO_PKG_VERSION");
    let name = format!("zokor-{version}");
    let dirty = output(root, "git", &["status", "--porcelain", "--untracked-files=no"])?;
    if !dirty.is_empty() {
        return Err(vec![format!("uncommitted changes:\n{dirty}")]);
    }
    std::fs::create_dir_all(root.join("dist")).map_err(|e| vec![format!("dist: {e}")])?;
    let archive = format!("dist/{name}.tar.gz");
    output(root, "git", &["archive", "--format=tar.gz", &format!("--prefix={name}/"), "-o", &archive, "HEAD"])?;
    let sum = output(root, "sha256sum", &[&archive])?;
    std::fs::write(root.join(format!("{archive}.sha256")), &sum).map_err(|e| vec![format!("{archive}.sha256: {e}")])?;
    print!("{sum}");
    Ok(())
}

/// What the command prints, or why it failed.
fn output(root: &Path, program: &str, args: &[&str]) -> Result<String, Vec<String>> {
    let result = Command::new(program).args(args).current_dir(root).output();
    let result = result.map_err(|e| vec![format!("{program}: {e}")])?;
    if !result.status.success() {
        return Err(vec![format!("{program} {}: {}", args.join(" "), String::from_utf8_lossy(&result.stderr).trim())]);
    }
    Ok(String::from_utf8_lossy(&result.stdout).into_owned())
}
