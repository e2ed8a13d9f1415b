/* The runtime in the daemon's folder: an interpreter that sees this folder and nothing else of the host.
 *
 * Isolated configuration: no environment variables, no user or system site packages, no bytecode writing. Beside it lie
 * `lib/` (shared libraries, found through the run path) and `py/` (compiled modules); `main.pyc` is the program.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <limits.h>
#include <unistd.h>

static int fail(PyStatus status) {
    Py_ExitStatusException(status);
    return 1;
}

int main(int argc, char **argv) {
    char own[PATH_MAX], py[PATH_MAX + 16], program[PATH_MAX + 16];
    ssize_t length = readlink("/proc/self/exe", own, sizeof own - 1);
    if (length < 0) return 1;
    own[length] = 0;
    char *name = strrchr(own, '/');
    int bundled = argc > 0 && strcmp(argv[0], own) != 0 && argv[0][0] == '/';
    const char *self = bundled ? argv[0] : own;
    *name = 0;
    snprintf(py, sizeof py, "%s/py", own);
    snprintf(program, sizeof program, "%s/main.pyc", own);

    PyPreConfig before;
    PyPreConfig_InitIsolatedConfig(&before);
    before.utf8_mode = 1;
    PyStatus status = Py_PreInitialize(&before);
    if (PyStatus_Exception(status)) return fail(status);

    PyConfig config;
    PyConfig_InitIsolatedConfig(&config);
    config.site_import = 0;
    config.write_bytecode = 0;
    config.install_signal_handlers = 1;
    config.pathconfig_warnings = 0;
    config.parse_argv = 0;
    config.module_search_paths_set = 1;
    if (argc > 0) argv[0] = (char *)self;
    wchar_t *path = Py_DecodeLocale(py, NULL);
    status = path == NULL ? PyStatus_NoMemory() : PyWideStringList_Append(&config.module_search_paths, path);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.home, own);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.prefix, own);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.exec_prefix, own);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.base_prefix, own);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.base_exec_prefix, own);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.executable, self);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.program_name, self);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesString(&config, &config.run_filename, program);
    if (!PyStatus_Exception(status)) status = PyConfig_SetBytesArgv(&config, argc, argv);
    if (!PyStatus_Exception(status)) status = Py_InitializeFromConfig(&config);
    PyConfig_Clear(&config);
    PyMem_RawFree(path);
    if (PyStatus_Exception(status)) return fail(status);
    return Py_RunMain();
}
