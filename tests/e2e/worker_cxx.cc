/* SPDX-License-Identifier: MIT */
/*
 * A worker in C++: exceptions leave guards.  `throw N` throws out of N guards, nested and not, and answers with the
 * word of its reader line (0: outside); the rest as tests/e2e/worker: open, call KEY, exit.
 */
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <iostream>
#include <stdexcept>
#include <string>

#include "dispatchd.h"

namespace {

struct test {
    const void *data, *data_end;
    uint32_t method, status;
};

DD_TABLE(on_test, struct test, 0, DD_PACKET(data, data_end), DD_READ(method), DD_WRITE(status))

uint32_t call(uint32_t key)
{
    test context = { "", "", 0, 0 };

    return on_test(key, &context);
}

__attribute__((noinline)) void throw_from(int depth)
{
    DD_GUARDED {
        call(1);
        if (depth > 1)
            throw_from(depth - 1);
        throw std::runtime_error("out of a guard");
    }
}

/* A destructor that runs while the exception passes calls a hook, inside the outer guards. */
struct Caller {
    ~Caller() { call(1); }
};

std::string throw_many(int times)
{
    int caught = 0;

    for (int i = 0; i < times; i++) {
        try {
            Caller caller;

            throw_from(1 + i % 5);
        } catch (const std::runtime_error &) {
            caught++;
        }
    }
    return "caught " + std::to_string(caught) + " word " +
           std::to_string(dd_thread_self.line ? dd_thread_self.line->word : 0);
}

std::string run(const std::string &command, const std::string &argument)
{
    if (command == "open") {
        int r = dd_open(nullptr);

        return r < 0 ? std::string("error ") + std::strerror(-r) : "ok";
    }
    if (command == "call")
        return "verdict " + std::to_string(call(static_cast<uint32_t>(std::atoi(argument.c_str()))));
    if (command == "throw")
        return throw_many(std::atoi(argument.c_str()));
    if (command == "exit")
        std::exit(0);
    return "error there is no command " + command;
}

}

int main()
{
    std::string line;

    while (std::getline(std::cin, line)) {
        size_t space = line.find(' ');

        std::cout << run(line.substr(0, space), space == std::string::npos ? "" : line.substr(space + 1)) << std::endl;
    }
    return 0;
}
