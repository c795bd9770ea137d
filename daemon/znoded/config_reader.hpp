#pragma once

#include <algorithm>
#include <set>

#include <toml++/toml.h>

#include "base/text.hpp"
#include "config.hpp"

namespace znode::agent {

/// Takes typed settings out of a parsed file, section after section. Collects mistakes instead of
/// stopping at the first.
class ConfigReader {
public:
    ConfigReader(std::string file, const Environment& environment)
        : file_{std::move(file)}, environment_{environment}
    {
    }

    /// What is read from here on is in this section; one that is missing leaves every default.
    void section(const toml::table& root, std::string name)
    {
        section_ = std::move(name);
        table_ = nullptr;
        const auto* node = root.get(section_);
        if (node == nullptr) return;
        table_ = node->as_table();
        if (table_ == nullptr) mistake(*node, "must be a table: [" + section_ + "]");
    }

    // Each changes `into` only when the setting is given and right; the environment wins.

    void text(const char* key, std::string& into, std::initializer_list<const char*> allowed = {})
    {
        const auto given = value<std::string>(key, "a text in quotes");
        if (!given) return;
        if (allowed.size() != 0 &&
            std::ranges::none_of(allowed, [&](auto* a) { return *given == a; })) {
            std::string list;
            for (const auto* word : allowed)
                list += (list.empty() ? "\"" : ", \"") + std::string{word} + "\"";
            mistake_at(key, "is \"" + printable(*given) + "\", must be one of " + list);
            return;
        }
        into = *given;
    }
    void path(const char* key, std::filesystem::path& into)
    {
        const auto given = value<std::string>(key, "a path in quotes");
        if (!given) return;
        if (!given->starts_with('/'))
            mistake_at(key, "must be an absolute path");
        else
            into = std::filesystem::path{*given}.lexically_normal();
    }
    void number(const char* key, std::int64_t& into, std::int64_t least, std::int64_t most)
    {
        const auto given = value<std::int64_t>(key, "a whole number");
        if (!given) return;
        if (*given < least || *given > most)
            mistake_at(
                key, "must lie between " + std::to_string(least) + " and " + std::to_string(most));
        else
            into = *given;
    }
    void real(const char* key, double& into, double least, double most)
    {
        const auto given = value<double>(key, "a number");
        if (!given) return;
        if (!(*given >= least && *given <= most))
            mistake_at(key, "is out of its range");
        else
            into = *given;
    }
    void flag(const char* key, bool& into)
    {
        if (const auto given = value<bool>(key, "true or false")) into = *given;
    }
    template <class Size>
    void size(const char* key, Size& into)
    {
        const auto given = value<std::string>(key, "a size in quotes such as \"20GiB\"");
        if (!given) return;
        const auto bytes = parse_size(*given);
        if (!bytes)
            mistake_at(key, bytes.error().message);
        else
            into = *bytes;
    }
    void duration(const char* key, Duration& into)
    {
        const auto given = value<std::string>(key, "a time in quotes such as \"24h\"");
        if (!given) return;
        const auto time = parse_duration(*given);
        if (!time)
            mistake_at(key, time.error().message);
        else
            into = *time;
    }

    /// A setting that is no single value; null when it is not given.
    const toml::node* node(const char* key)
    {
        known_.insert(key);
        return table_ == nullptr ? nullptr : table_->get(key);
    }

    /// Keys that nobody asked for are mistakes: a misspelt key would silently do nothing.
    void end_section()
    {
        if (table_ != nullptr)
            for (const auto& [key, child] : *table_)
                if (!known_.contains(std::string{key.str()}))
                    mistake(
                        child,
                        section_ + "." + printable(key.str()) +
                            " is not known; known are: " + list_known());
        known_.clear();
    }

    void mistake(const toml::node& at, const std::string& text)
    {
        mistakes_.push_back(file_ + ":" + std::to_string(at.source().begin.line) + ": " + text);
    }
    void mistake(const std::string& text) { mistakes_.push_back(file_ + ": " + text); }
    const std::vector<std::string>& mistakes() const { return mistakes_; }

private:
    template <class T>
    std::optional<T> value(const char* key, const char* expected)
    {
        known_.insert(key);
        const auto variable = variable_of(key);
        if (auto given = environment_(variable)) {
            if constexpr (std::is_same_v<T, std::string>)
                return given;
            else if constexpr (std::is_same_v<T, bool>) {
                if (*given == "true" || *given == "1") return true;
                if (*given == "false" || *given == "0") return false;
            } else if (auto number = to_number<T>(*given)) {
                return number;
            }
            mistakes_.push_back("environment: " + variable + " must be " + expected);
            return std::nullopt;
        }
        const auto* found = table_ == nullptr ? nullptr : table_->get(key);
        if (found == nullptr) return std::nullopt;
        std::optional<T> read;
        if constexpr (std::is_same_v<T, double>)
            read = found->value<double>();
        else
            read = found->value_exact<T>();
        if (!read) mistake_at(key, std::string{"must be "} + expected);
        return read;
    }
    void mistake_at(const char* key, const std::string& text)
    {
        const auto whole = section_ + "." + key + " " + text;
        const auto* found = table_ == nullptr ? nullptr : table_->get(key);
        if (found != nullptr && !environment_(variable_of(key)))
            mistake(*found, whole);
        else
            mistakes_.push_back("environment: " + whole);
    }
    std::string variable_of(const char* key) const
    {
        std::string name = "ZNODE_" + section_ + "_" + key;
        for (char& c : name)
            if (c >= 'a' && c <= 'z') c = static_cast<char>(c - 'a' + 'A');
        return name;
    }
    std::string list_known() const
    {
        std::string list;
        for (const auto& key : known_) list += (list.empty() ? "" : ", ") + key;
        return list;
    }

    std::string file_;
    const Environment& environment_;
    std::string section_;
    const toml::table* table_ = nullptr;
    std::set<std::string> known_;
    std::vector<std::string> mistakes_;
};

}  // namespace znode::agent
