# library.sh - the library as the ABI dump sees it: unoptimised, with types, nothing else built.
abi_build() {
  [ -f "$1/build.ninja" ] || meson setup "$1" . --buildtype=debug -Dtests=false \
    -Dexamples=false -Dvulkan=disabled -Dcuda=disabled >/dev/null
  ninja -C "$1" >/dev/null
}
